import Foundation

/// All that can go wrong between an image and a label; each case says what, where and the way out.
public enum ClassifierError: Error, Equatable {
    /// The bundle holds none of the models that this code knows.
    case noModel(folder: String, known: [String])
    /// A file of the model is not there, or cannot be read.
    case missingFile(path: String)
    /// A file of the model is not the one that was released.
    case changedFile(path: String, expected: String, found: String)
    /// Core ML does not compile or load the model.
    case cannotLoad(path: String, reason: String)
    /// No image, or one that is cut short.
    case unreadableImage(reason: String)
    /// An image without pixels, or a count of bytes that does not fit its size.
    case wrongSize(width: Int, height: Int, bytes: Int)
    /// Pixels of a kind that cannot be read without changing their values.
    case unsupportedPixels(kind: String)
    /// A buffer for the model's input cannot be made.
    case noPixelBuffer(code: Int)
    /// Core ML does not run the model.
    case predictionFailed(reason: String)
    /// The model ran, and what it returned is not what was released.
    case unexpectedOutput(reason: String)
    /// A label that the model does not have.
    case unknownLabel(String)
}

extension ClassifierError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .noModel(let folder, let known):
            return "No model in \(folder); looked for \(known.joined(separator: ", "))."
        case .missingFile(let path):
            return "\(path) is missing from the app."
        case .changedFile(let path, let expected, let found):
            return "\(path) is not the file that was released: "
                + "SHA-256 \(found.prefix(12))… in place of \(expected.prefix(12))…."
        case .cannotLoad(let path, let reason):
            return "Core ML cannot load \(path): \(reason)"
        case .unreadableImage(let reason):
            return "The image cannot be read: \(reason)"
        case .wrongSize(let width, let height, let bytes):
            return "\(bytes) bytes are no RGB image of \(width) x \(height) pixels."
        case .unsupportedPixels(let kind):
            return "Pixels of this kind are not supported: \(kind)."
        case .noPixelBuffer(let code):
            return "No pixel buffer for the model's input: CVReturn \(code)."
        case .predictionFailed(let reason):
            return "Core ML cannot run the model: \(reason)"
        case .unexpectedOutput(let reason):
            return "The model's output is not the one expected: \(reason)"
        case .unknownLabel(let label):
            return "The model has no label \(label)."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .noModel, .missingFile, .changedFile:
            return "Pull the whole package again and build the app anew; "
                + "`python -m export verify` says which files differ."
        case .cannotLoad(let path, _):
            return "Compare the system with the oldest that the table in README.md gives for \(path)."
        case .unreadableImage, .wrongSize:
            return "Take the image again, or another one."
        case .unsupportedPixels:
            return "Pass 8-bit or 16-bit RGB or grey; for video ask the camera for 32BGRA."
        case .noPixelBuffer, .predictionFailed:
            return "Try again when the system has memory to spare."
        case .unexpectedOutput, .unknownLabel:
            return "Take this code and the model from the same release."
        }
    }
}
