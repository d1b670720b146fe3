import Foundation

/// How the bytes of an image lie in memory, and how they become RGB without any change of colour:
/// stored values are taken as they are, whatever colour profile the image carries, because that is
/// how the model's training images were read.
struct PixelLayout: Equatable {
    /// What else there is in a pixel beside its colour, and on which side of it.
    enum Alpha {
        case none, last, first, premultipliedLast, premultipliedFirst, skipLast, skipFirst
    }

    /// The order of bytes: as components are written (big), or each 16 or 32 bits reversed.
    enum ByteOrder {
        case big, little16, little32
    }

    /// Components of a pixel, padding counted.
    let components: Int
    /// 1 or 2.
    let componentBytes: Int
    /// Where red, green and blue lie, counted in components; three times the same for grey.
    let red: Int
    let green: Int
    let blue: Int
    /// Where the opacity lies by which the colour is still to be multiplied.
    let straightAlpha: Int?
    /// Where in a component its more significant byte lies.
    let highByte: Int
    /// Whether 16-bit values are scaled by 255 / 65535, as for grey, or cut to their high byte.
    let scalesDown: Bool

    /// nil: such a layout is not read directly.
    ///
    /// - Parameters:
    ///   - colours: 1 for grey, 3 for RGB.
    ///   - bitsPerPixel: padding counted.
    init?(
        colours: Int, alpha: Alpha, order: ByteOrder, bitsPerComponent: Int, bitsPerPixel: Int
    ) {
        guard colours == 1 || colours == 3, bitsPerComponent == 8 || bitsPerComponent == 16 else {
            return nil
        }
        components = colours + (alpha == .none ? 0 : 1)
        componentBytes = bitsPerComponent / 8
        guard bitsPerPixel == components * bitsPerComponent else { return nil }
        let leads = alpha == .first || alpha == .premultipliedFirst || alpha == .skipFirst
        var places = (0..<colours).map { leads ? $0 + 1 : $0 }
        var alphaPlace = leads ? 0 : colours
        switch (order, componentBytes) {
        case (.big, _):
            highByte = 0
        case (.little16, 2):
            highByte = 1
        case (.little32, 1) where bitsPerPixel == 32:
            places = places.map { 3 - $0 }
            alphaPlace = 3 - alphaPlace
            highByte = 0
        case (.little16, _) where bitsPerPixel == 8, (.little32, _) where bitsPerPixel == 8:
            highByte = 0  // one byte has no order
        default:
            return nil
        }
        red = places[0]
        green = places[colours / 2]
        blue = places[colours - 1]
        straightAlpha = alpha == .last || alpha == .first ? alphaPlace : nil
        scalesDown = colours == 1 && alpha == .none
    }

    /// The image in `bytes`, its rows `bytesPerRow` bytes apart, on black where it is transparent.
    ///
    /// - Throws: `ClassifierError.wrongSize`: no pixels, or fewer bytes than the size needs.
    func pixels(
        in bytes: UnsafeRawBufferPointer, width: Int, height: Int, bytesPerRow: Int
    ) throws -> Pixels {
        let pixelBytes = components * componentBytes
        guard width > 0, height > 0, bytesPerRow >= width * pixelBytes,
            bytes.count >= bytesPerRow * (height - 1) + width * pixelBytes
        else {
            throw ClassifierError.wrongSize(width: width, height: height, bytes: bytes.count)
        }
        let size = width * height * 3
        let rgb = [UInt8](unsafeUninitializedCapacity: size) { target, filled in
            var to = 0
            for row in 0..<height {
                var from = row * bytesPerRow
                for _ in 0..<width {
                    var (r, g, b) = (
                        value(bytes, from, red), value(bytes, from, green), value(bytes, from, blue)
                    )
                    if let straightAlpha {
                        let alpha = value(bytes, from, straightAlpha)
                        r = Self.onBlack(r, alpha)
                        g = Self.onBlack(g, alpha)
                        b = Self.onBlack(b, alpha)
                    }
                    target[to] = r
                    target[to + 1] = g
                    target[to + 2] = b
                    to += 3
                    from += pixelBytes
                }
            }
            filled = size
        }
        return Pixels(trusted: width, height, rgb)
    }

    /// The component at `place` of the pixel at `offset`, in 8 bits.
    @inline(__always)
    private func value(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ place: Int) -> UInt8 {
        if componentBytes == 1 { return bytes[offset + place] }
        let start = offset + place * 2
        let high = bytes[start + highByte]
        if !scalesDown { return high }
        let low = bytes[start + 1 - highByte]
        // 65535 / 255 = 257; its half is 128.5, so that no value lies halfway between two.
        return UInt8((Int(high) * 256 + Int(low) + 128) / 257)
    }

    /// A colour of some opacity on black, with the rounding of Pillow's `alpha_composite`.
    @inline(__always)
    static func onBlack(_ colour: UInt8, _ alpha: UInt8) -> UInt8 {
        let product = Int(colour) * Int(alpha) * 128 + 128 * 128
        return UInt8((((product >> 8) + product) >> 8) >> 7)
    }
}
