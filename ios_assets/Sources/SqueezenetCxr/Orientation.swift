import Foundation

/// How the stored rows of an image lie, by its EXIF number: what `CGImagePropertyOrientation` and
/// cameras write. The raw value is that number.
public enum Orientation: Int, CaseIterable, Sendable {
    case up = 1
    case upMirrored
    case down
    case downMirrored
    case leftMirrored
    case right
    case rightMirrored
    case left

    /// Whether width and height are exchanged when the image is turned upright.
    var exchangesSides: Bool { rawValue >= 5 }
}

extension Pixels {
    /// The image turned upright; `orientation` says how it is stored.
    func upright(from orientation: Orientation) -> Pixels {
        if orientation == .up { return self }
        let newWidth = orientation.exchangesSides ? height : width
        let newHeight = orientation.exchangesSides ? width : height
        // Where the pixel of column 0, row 0 comes from, and how far one column and one row move.
        let (lastX, lastY) = (width - 1, height - 1)
        let start: Int, column: Int, row: Int
        switch orientation {
        case .up: (start, column, row) = (0, 1, width)
        case .upMirrored: (start, column, row) = (lastX, -1, width)
        case .down: (start, column, row) = (lastY * width + lastX, -1, -width)
        case .downMirrored: (start, column, row) = (lastY * width, 1, -width)
        case .leftMirrored: (start, column, row) = (0, width, 1)
        case .right: (start, column, row) = (lastY * width, -width, 1)
        case .rightMirrored: (start, column, row) = (lastY * width + lastX, -width, -1)
        case .left: (start, column, row) = (lastX, width, -1)
        }
        let turned = [UInt8](unsafeUninitializedCapacity: rgb.count) { target, count in
            rgb.withUnsafeBufferPointer { source in
                var to = 0
                for y in 0..<newHeight {
                    var from = (start + y * row) * 3
                    for _ in 0..<newWidth {
                        target[to] = source[from]
                        target[to + 1] = source[from + 1]
                        target[to + 2] = source[from + 2]
                        to += 3
                        from += column * 3
                    }
                }
            }
            count = rgb.count
        }
        return Pixels(trusted: newWidth, newHeight, turned)
    }
}
