import Foundation

// The model was trained on images that Pillow resized. Phone filters differ: most of them read a few
// neighbours of each point and skip the rest of a large image. So the resize is written out here:
// the antialiased bilinear filter of Pillow 13, with its rounding, bit for bit (libImaging/Resample.c).

/// How an image becomes the input, as `model.input` of manifest.json says it: `ModelFacts.resize`.
public struct Resize: Equatable, Sendable {
    public enum Mode: String, Sendable {
        /// The whole image, the aspect ratio is not kept.
        case squish
        /// The largest part from the middle of the image that has the shape of the input.
        case crop
        /// The whole image in the middle of a frame that has the shape of the input.
        case pad
        /// The middle of the image, not scaled.
        case centre
    }

    /// What a frame holds beyond the image.
    public enum Fill: String, Sendable {
        /// The image's mirror image, its outermost pixels not repeated.
        case reflection
        /// The image's outermost pixels.
        case border
        /// Black.
        case zeros
    }

    /// What is taken of an image along an axis, in pixels.
    public struct Span: Equatable, Sendable {
        /// Negative where a frame begins before the image.
        public let start: Int
        public let length: Int
        /// The image's own length.
        let image: Int

        /// Those that are pixels of the image.
        var inside: Range<Int> { max(start, 0)..<min(start + length, image) }

        /// Where the pixel `at` of this span is in the image; nil: nowhere, it is black.
        func source(_ at: Int, fill: Fill) -> Int? {
            let place = start + at
            if (0..<image).contains(place) { return place }
            switch fill {
            case .zeros: return nil
            case .reflection where image > 1:
                let period = 2 * (image - 1)
                let along = (place % period + period) % period
                return min(along, period - along)
            case .border, .reflection: return max(0, min(place, image - 1))
            }
        }
    }

    /// Of the input in pixels.
    public let width: Int
    public let height: Int
    public let mode: Mode
    public let fill: Fill
    /// Pixels that a squish is larger by, both ways; the middle is kept.
    public let margin: Int

    public init(width: Int, height: Int, mode: Mode = .squish, fill: Fill = .zeros, margin: Int = 0) {
        precondition(width > 0 && height > 0 && margin >= 0)
        self.width = width
        self.height = height
        self.mode = mode
        self.fill = fill
        self.margin = margin
    }

    /// What is taken of an image of this size: across, and down.
    public func window(width imageWidth: Int, height imageHeight: Int) -> (across: Span, down: Span) {
        let across = Double(imageWidth) / Double(width)
        let down = Double(imageHeight) / Double(height)
        let scale = mode == .crop ? min(across, down) : max(across, down)
        return (span(of: imageWidth, for: width, scale), span(of: imageHeight, for: height, scale))
    }

    private func span(of image: Int, for own: Int, _ scale: Double) -> Span {
        switch mode {
        case .squish: return Span(start: 0, length: image, image: image)
        case .centre: return Span(start: (image - own) >> 1, length: own, image: image)  // rounded down
        case .crop, .pad:
            let taken = max(Int(scale * Double(own)), 1)
            return Span(start: (image - taken) / 2, length: taken, image: image)  // towards zero
        }
    }
}

/// For each pixel of the input along one axis: which pixels of the image count, and how much.
struct ResizeTaps {
    /// Weights are whole numbers of 1 / 2^22: 32 bits hold 8 bits of colour and two to spare.
    static let fractionBits = 22

    /// Lengths before and after the filter; of what comes after, the middle is kept.
    let from: Int
    let to: Int
    /// The pixels of the image that count at all.
    let inside: Range<Int>
    /// Where the taps of an input's pixel begin; one more, for the end of the last.
    private(set) var offsets: [Int] = [0]
    /// Places in the image, counted from the first of `inside`; what is black is left out.
    private(set) var places: [Int] = []
    private(set) var weights: [Int32] = []

    /// A triangle filter, as wide as one output pixel where the image shrinks.
    init(_ span: Resize.Span, to size: Int, of rule: Resize) {
        from = span.length
        to = size + rule.margin
        inside = span.inside
        let scale = Double(from) / Double(to)
        let support = max(scale, 1.0)
        let inverse = 1.0 / support
        for output in 0..<size {
            let center = (Double(output + rule.margin / 2) + 0.5) * scale
            let first = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), from)
            let shares = (first..<end).map { tap -> Double in
                let distance = abs((Double(tap) - center + 0.5) * inverse)
                return distance < 1.0 ? 1.0 - distance : 0.0
            }
            let total = shares.reduce(0, +)
            for (tap, share) in shares.enumerated() {
                guard let place = span.source(first + tap, fill: rule.fill) else { continue }
                places.append(place - inside.lowerBound)
                weights.append(Int32(0.5 + share / total * Double(1 << Self.fractionBits)))
            }
            offsets.append(places.count)
        }
    }

    /// How many pixels come out.
    var count: Int { offsets.count - 1 }
}

extension Pixels {
    /// The model's input: what the rule takes of the image, resized.
    public func resized(by rule: Resize) -> Pixels {
        let (across, down) = rule.window(width: width, height: height)
        let columns = ResizeTaps(across, to: rule.width, of: rule)
        let rows = ResizeTaps(down, to: rule.height, of: rule)
        let part = cut(columns: columns.inside, rows: rows.inside)
        // Each pass rounds to 8 bits, so their order shows. Pillow 13 saves work on tall images:
        // https://github.com/python-pillow/Pillow/pull/9549
        let isTall = rows.from > rows.to && rows.from - rows.to > 2 * max(columns.from - columns.to, 0)
        return isTall
            ? part.resizedDown(by: rows).resizedAcross(by: columns)
            : part.resizedAcross(by: columns).resizedDown(by: rows)
    }

    /// A part of the image; the image itself where that is all of it.
    private func cut(columns: Range<Int>, rows: Range<Int>) -> Pixels {
        if columns.count == width && rows.count == height { return self }
        let part = rows.flatMap { row in
            rgb[((row * width + columns.lowerBound) * 3)..<((row * width + columns.upperBound) * 3)]
        }
        return Pixels(trusted: columns.count, rows.count, part)
    }

    /// Every row resized, rounded to 8 bits.
    private func resizedAcross(by taps: ResizeTaps) -> Pixels {
        let newWidth = taps.count
        let size = newWidth * height * 3
        let resized = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
            rgb.withUnsafeBufferPointer { source in
                taps.places.withUnsafeBufferPointer { places in
                    taps.weights.withUnsafeBufferPointer { weights in
                        var to = 0
                        for row in 0..<height {
                            let rowStart = row * width
                            for column in 0..<newWidth {
                                var red = Self.half
                                var green = Self.half
                                var blue = Self.half
                                for tap in taps.offsets[column]..<taps.offsets[column + 1] {
                                    let weight = weights[tap]
                                    let from = (rowStart + places[tap]) * 3
                                    red &+= Int32(source[from]) &* weight
                                    green &+= Int32(source[from + 1]) &* weight
                                    blue &+= Int32(source[from + 2]) &* weight
                                }
                                target[to] = Self.rounded(red)
                                target[to + 1] = Self.rounded(green)
                                target[to + 2] = Self.rounded(blue)
                                to += 3
                            }
                        }
                    }
                }
            }
            filled = size
        }
        return Pixels(trusted: newWidth, height, resized)
    }

    /// Every column resized, rounded to 8 bits.
    private func resizedDown(by taps: ResizeTaps) -> Pixels {
        let newHeight = taps.count
        let rowBytes = width * 3
        let size = rowBytes * newHeight
        var sums = [Int32](repeating: 0, count: rowBytes)
        let resized = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
            rgb.withUnsafeBufferPointer { source in
                sums.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<newHeight {
                        for place in 0..<rowBytes { sums[place] = Self.half }
                        for tap in taps.offsets[row]..<taps.offsets[row + 1] {
                            let weight = taps.weights[tap]
                            let from = taps.places[tap] * rowBytes
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
