// Stand-in: a model is a table from pixels to answers, in the file that STANDIN_ANSWERS names.

@_exported import CoreVideo
import CryptoKit

public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

public final class MLModelConfiguration {
    public var computeUnits = MLComputeUnits.all
    public init() {}
}

public final class MLFeatureValue {
    public let imageBufferValue: CVPixelBuffer?
    public let multiArrayValue: MLMultiArray?
    public let dictionaryValue: [AnyHashable: NSNumber]
    public init(pixelBuffer: CVPixelBuffer) {
        (imageBufferValue, multiArrayValue, dictionaryValue) = (pixelBuffer, nil, [:])
    }
    public init(multiArray: MLMultiArray) {
        (imageBufferValue, multiArrayValue, dictionaryValue) = (nil, multiArray, [:])
    }
    init(_ byLabel: [AnyHashable: NSNumber]) {
        (imageBufferValue, multiArrayValue, dictionaryValue) = (nil, nil, byLabel)
    }
}

public protocol MLFeatureProvider {
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    let features: [String: MLFeatureValue]
    public init(dictionary: [String: Any]) throws {
        features = dictionary.compactMapValues { $0 as? MLFeatureValue }
    }
    public func featureValue(for featureName: String) -> MLFeatureValue? { features[featureName] }
}

/// Rows lie further apart than they are long, as on the Neural Engine.
public final class MLMultiArray {
    public let shape: [NSNumber]
    public let strides: [NSNumber]
    private var storage: [Float]
    init(_ values: [Float], shape: [Int]) {
        let row = (shape[3] + 15) / 16 * 16
        self.shape = shape.map { NSNumber(value: $0) }
        strides = [shape[1] * shape[2] * row, shape[2] * row, row, 1].map { NSNumber(value: $0) }
        storage = [Float](repeating: .nan, count: shape[0] * shape[1] * shape[2] * row)
        for (place, value) in values.enumerated() {
            storage[place / shape[3] * row + place % shape[3]] = value
        }
    }
    public subscript(key: [NSNumber]) -> NSNumber {
        NSNumber(value: storage[zip(key, strides).reduce(0) { $0 + $1.0.intValue * $1.1.intValue }])
    }
}

public final class MLImageConstraint {
    public let pixelsWide: Int
    public let pixelsHigh: Int
    init(_ answers: Answers) { (pixelsWide, pixelsHigh) = (answers.width, answers.height) }
}

public final class MLFeatureDescription {
    public let imageConstraint: MLImageConstraint?
    init(_ answers: Answers) { imageConstraint = MLImageConstraint(answers) }
}

public final class MLModelDescription {
    public let inputDescriptionsByName: [String: MLFeatureDescription]
    init(_ answers: Answers) { inputDescriptionsByName = ["image": MLFeatureDescription(answers)] }
}

struct Answers: Decodable {
    struct Answer: Decodable {
        let probs: [String: Double]
        let evidence: [Float]?
        let evidenceShape: [Int]?
    }
    let width: Int
    let height: Int
    /// Model -> SHA-256 of the RGB bytes -> what it says.
    let models: [String: [String: Answer]]
}

public struct StandInError: Error, LocalizedError {
    let what: String
    public var errorDescription: String? { what }
}

public final class MLModel {
    let name: String
    let answers: Answers
    public let modelDescription: MLModelDescription

    init(_ name: String) throws {
        guard let file = ProcessInfo.processInfo.environment["STANDIN_ANSWERS"] else {
            throw StandInError(what: "STANDIN_ANSWERS is not set")
        }
        answers = try JSONDecoder().decode(
            Answers.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
        self.name = name
        modelDescription = MLModelDescription(answers)
    }

    /// The compiled form is a folder with the model's name in it.
    public class func compileModel(at modelURL: URL) async throws -> URL {
        guard FileManager.default.fileExists(atPath: modelURL.appendingPathComponent("Manifest.json").path)
        else { throw StandInError(what: "no model at \(modelURL.path)") }
        let compiled = FileManager.default.temporaryDirectory
            .appendingPathComponent("compiled-\(UUID().uuidString)", isDirectory: true)
        try FileManager.default.createDirectory(at: compiled, withIntermediateDirectories: true)
        try Data(modelURL.lastPathComponent.utf8).write(to: compiled.appendingPathComponent("name"))
        return compiled
    }

    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLModel {
        let name = try Data(contentsOf: url.appendingPathComponent("name"))
        return try MLModel(String(decoding: name, as: UTF8.self))
    }

    public func prediction(from input: MLFeatureProvider) throws -> MLFeatureProvider {
        guard let buffer = input.featureValue(for: "image")?.imageBufferValue,
            buffer.format == kCVPixelFormatType_32BGRA, buffer.width == answers.width,
            buffer.height == answers.height
        else { throw StandInError(what: "no 32BGRA image of \(answers.width) x \(answers.height)") }
        var rgb = Data()
        for row in 0..<buffer.height {
            for column in 0..<buffer.width {
                let place = buffer.base + row * buffer.bytesPerRow + column * 4
                for channel in [2, 1, 0] {
                    rgb.append(place.load(fromByteOffset: channel, as: UInt8.self))
                }
            }
        }
        let key = SHA256.hash(data: rgb).map { String(format: "%02x", $0) }.joined()
        guard let answer = answers.models[name]?[key] else {
            throw StandInError(what: "\(name) does not know these pixels")
        }
        var features = [
            "probs": MLFeatureValue(answer.probs.mapValues { NSNumber(value: $0) } as [AnyHashable: NSNumber])
        ]
        if let values = answer.evidence, let shape = answer.evidenceShape {
            features["evidence"] = MLFeatureValue(multiArray: MLMultiArray(values, shape: shape))
        }
        return try MLDictionaryFeatureProvider(dictionary: features)
    }
}
