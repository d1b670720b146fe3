#if canImport(CoreML) && canImport(UIKit)
import ImageIO
import UIKit

extension ImageClassifier {
    /// Classify a `UIImage`, turned upright by the orientation that it carries.
    ///
    /// - Throws: `ClassifierError`.
    public func classify(_ image: UIImage) throws -> Classification {
        guard let stored = image.cgImage else {
            throw ClassifierError.unsupportedPixels(kind: "a UIImage without a CGImage")
        }
        return try classify(
            stored, orientation: CGImagePropertyOrientation(image.imageOrientation))
    }
}

extension CGImagePropertyOrientation {
    /// The same turn; UIKit numbers it differently.
    init(_ orientation: UIImage.Orientation) {
        switch orientation {
        case .up: self = .up
        case .upMirrored: self = .upMirrored
        case .down: self = .down
        case .downMirrored: self = .downMirrored
        case .left: self = .left
        case .leftMirrored: self = .leftMirrored
        case .right: self = .right
        case .rightMirrored: self = .rightMirrored
        @unknown default: self = .up
        }
    }
}
#endif
