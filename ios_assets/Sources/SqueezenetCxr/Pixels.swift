import Foundation

/// An image in memory: 8-bit red, green, blue, rows from the top, nothing between them.
public struct Pixels: Equatable, Sendable {
    public let width: Int
    public let height: Int
    /// `width * height * 3` bytes.
    public let rgb: [UInt8]

    /// - Throws: `ClassifierError.wrongSize`: no pixels, or bytes that do not fit the size.
    public init(width: Int, height: Int, rgb: [UInt8]) throws {
        let (area, overflow) = width.multipliedReportingOverflow(by: height)
        guard width > 0, height > 0, !overflow, rgb.count % 3 == 0, rgb.count / 3 == area else {
            throw ClassifierError.wrongSize(width: width, height: height, bytes: rgb.count)
        }
        self.init(trusted: width, height, rgb)
    }

    /// For code in this module that has counted already.
    init(trusted width: Int, _ height: Int, _ rgb: [UInt8]) {
        self.width = width
        self.height = height
        self.rgb = rgb
    }

    /// The same pixels as blue, green, red, 255, rows `bytesPerRow` bytes apart: what a
    /// `CVPixelBuffer` of the format 32BGRA holds.
    func writeBGRA(to target: UnsafeMutableRawBufferPointer, bytesPerRow: Int) {
        precondition(bytesPerRow >= width * 4 && target.count >= bytesPerRow * (height - 1) + width * 4)
        rgb.withUnsafeBufferPointer { source in
            for row in 0..<height {
                var from = row * width * 3
                var to = row * bytesPerRow
                for _ in 0..<width {
                    target[to] = source[from + 2]
                    target[to + 1] = source[from + 1]
                    target[to + 2] = source[from]
                    target[to + 3] = 255
                    from += 3
                    to += 4
                }
            }
        }
    }
}
