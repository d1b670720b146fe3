#if canImport(CoreML)
import CoreGraphics
import CoreML
import Foundation

extension EvidenceMap {
    /// Core ML's array of shape (1, K, h, w), read by index: its rows may lie further apart in
    /// memory than they are long.
    init(_ array: MLMultiArray, labels: [String]) throws {
        let shape = array.shape.map(\.intValue)
        guard shape.count == 4, shape[0] == 1, shape[1] == labels.count else {
            throw ClassifierError.unexpectedOutput(reason: "evidence has the shape \(shape)")
        }
        let (height, width) = (shape[2], shape[3])
        var values: [Float] = []
        values.reserveCapacity(labels.count * height * width)
        for label in labels.indices {
            for row in 0..<height {
                for column in 0..<width {
                    let index = [0, label, row, column].map { NSNumber(value: $0) }
                    values.append(array[index].floatValue)
                }
            }
        }
        try self.init(labels: labels, height: height, width: width, values: values)
    }
}

extension HeatMap {
    /// To be laid over the upright image: `Image(decorative:)`, `UIImage(cgImage:)`. nil: no memory.
    public var cgImage: CGImage? {
        guard let provider = CGDataProvider(data: Data(rgba) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else {
            return nil
        }
        let info = CGBitmapInfo(rawValue: CGImageAlphaInfo.premultipliedLast.rawValue)
            .union(.byteOrder32Big)
        return CGImage(
            width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 32,
            bytesPerRow: width * 4, space: space, bitmapInfo: info, provider: provider,
            decode: nil, shouldInterpolate: true, intent: .defaultIntent)
    }
}
#endif
