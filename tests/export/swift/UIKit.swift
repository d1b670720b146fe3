// Stand-in: an image and its orientation.

@_exported import CoreGraphics

public final class UIImage {
    public enum Orientation: Int, Sendable {
        case up, down, left, right, upMirrored, downMirrored, leftMirrored, rightMirrored
    }
    public let cgImage: CGImage?
    public let imageOrientation: Orientation
    public init(cgImage: CGImage, scale: CGFloat, orientation: Orientation) {
        self.cgImage = cgImage
        imageOrientation = orientation
    }
}
