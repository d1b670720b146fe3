import Foundation

// The model was trained on images that Pillow resized. Phone filters differ: most of them read a few
// neighbours of each point and skip the rest of a large image. So the resize is written out here:
// the antialiased bilinear filter of Pillow 13, with its rounding, bit for bit (libImaging/Resample.c).

/// For each output position of one axis: which input pixels count, and how much.
struct ResizeTaps {
    /// Weights are whole numbers of 1 / 2^22: 32 bits hold 8 bits of colour and two to spare.
    static let fractionBits = 22

    /// Room for the weights of one output position.
    let stride: Int
    /// The first input position that counts, by output position.
    private(set) var starts: [Int] = []
    /// How many count from there on, by output position.
    private(set) var counts: [Int] = []
    /// `stride` weights for each output position; those past its count are 0.
    private(set) var weights: [Int32] = []

    /// A triangle filter, as wide as one output pixel where the image shrinks.
    init(from inputSize: Int, to outputSize: Int) {
        let scale = Double(inputSize) / Double(outputSize)
        let support = max(scale, 1.0)
        let inverse = 1.0 / support
        stride = Int(support.rounded(.up)) * 2 + 1
        starts.reserveCapacity(outputSize)
        counts.reserveCapacity(outputSize)
        weights.reserveCapacity(outputSize * stride)
        var shares = [Double](repeating: 0, count: stride)
        for output in 0..<outputSize {
            let center = (Double(output) + 0.5) * scale
            let first = max(Int(center - support + 0.5), 0)
            let count = min(Int(center + support + 0.5), inputSize) - first
            var total = 0.0
            for tap in 0..<count {
                let distance = abs((Double(tap + first) - center + 0.5) * inverse)
                shares[tap] = distance < 1.0 ? 1.0 - distance : 0.0
                total += shares[tap]
            }
            starts.append(first)
            counts.append(count)
            for tap in 0..<stride {
                let share = tap < count ? shares[tap] / total : 0.0
                weights.append(Int32(0.5 + share * Double(1 << Self.fractionBits)))
            }
        }
    }
}

extension Pixels {
    /// The whole image squished to `side` x `side`: no crop, the aspect ratio is not kept.
    public func squished(toSide side: Int) -> Pixels {
        precondition(side > 0)
        // Each pass rounds to 8 bits, so their order shows. Pillow 13 saves work on tall images:
        // https://github.com/python-pillow/Pillow/pull/9549
        let isTall = height > side && height - side > 2 * max(width - side, 0)
        return isTall
            ? resizedDown(to: side).resizedAcross(to: side)
            : resizedAcross(to: side).resizedDown(to: side)
    }

    /// Every row resized to `newWidth`, rounded to 8 bits.
    private func resizedAcross(to newWidth: Int) -> Pixels {
        if width == newWidth { return self }
        let taps = ResizeTaps(from: width, to: newWidth)
        let size = newWidth * height * 3
        let resized = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
            rgb.withUnsafeBufferPointer { source in
                taps.weights.withUnsafeBufferPointer { weights in
                    var to = 0
                    for row in 0..<height {
                        let rowStart = row * width
                        for column in 0..<newWidth {
                            var red = Self.half
                            var green = Self.half
                            var blue = Self.half
                            var from = (rowStart + taps.starts[column]) * 3
                            let first = column * taps.stride
                            for tap in first..<(first + taps.counts[column]) {
                                let weight = weights[tap]
                                red &+= Int32(source[from]) &* weight
                                green &+= Int32(source[from + 1]) &* weight
                                blue &+= Int32(source[from + 2]) &* weight
                                from += 3
                            }
                            target[to] = Self.rounded(red)
                            target[to + 1] = Self.rounded(green)
                            target[to + 2] = Self.rounded(blue)
                            to += 3
                        }
                    }
                }
            }
            filled = size
        }
        return Pixels(trusted: newWidth, height, resized)
    }

    /// Every column resized to `newHeight`, rounded to 8 bits.
    private func resizedDown(to newHeight: Int) -> Pixels {
        if height == newHeight { return self }
        let taps = ResizeTaps(from: height, to: newHeight)
        let rowBytes = width * 3
        let size = rowBytes * newHeight
        var sums = [Int32](repeating: 0, count: rowBytes)
        let resized = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
            rgb.withUnsafeBufferPointer { source in
                sums.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<newHeight {
                        for place in 0..<rowBytes { sums[place] = Self.half }
                        for tap in 0..<taps.counts[row] {
                            let weight = taps.weights[row * taps.stride + tap]
                            let from = (taps.starts[row] + tap) * rowBytes
                            for place in 0..<rowBytes {
                                sums[place] &+= Int32(source[from + place]) &* weight
                            }
                        }
                        for place in 0..<rowBytes {
                            target[row * rowBytes + place] = Self.rounded(sums[place])
                        }
                    }
                }
            }
            filled = size
        }
        return Pixels(trusted: width, newHeight, resized)
    }

    private static let half = Int32(1 << (ResizeTaps.fractionBits - 1))

    private static func rounded(_ sum: Int32) -> UInt8 {
        UInt8(max(0, min(255, sum >> Int32(ResizeTaps.fractionBits))))
    }
}
