#if canImport(CoreML)
import CoreGraphics
import CoreVideo
import Foundation
import ImageIO

// From the system's images to `Pixels`. Nothing here converts colours or scales: bytes are taken as
// the decoder left them, in the image's own colour space. That is how the training images were read.

extension Pixels {
    /// An image file, turned upright by its EXIF orientation.
    ///
    /// - Throws: `ClassifierError.unreadableImage`, `.unsupportedPixels` or `.wrongSize`.
    public init(contentsOf file: URL) throws {
        guard let content = try? Data(contentsOf: file) else {
            throw ClassifierError.unreadableImage(reason: "no file at \(file.path)")
        }
        try self.init(encoded: content)
    }

    /// The bytes of an image file, turned upright by its EXIF orientation.
    ///
    /// - Throws: `ClassifierError.unreadableImage`, `.unsupportedPixels` or `.wrongSize`.
    public init(encoded content: Data) throws {
        guard let source = CGImageSourceCreateWithData(content as CFData, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else {
            throw ClassifierError.unreadableImage(reason: "\(content.count) bytes of no known format")
        }
        guard CGImageSourceGetStatusAtIndex(source, 0) == .statusComplete else {
            throw ClassifierError.unreadableImage(reason: "it is cut short")
        }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let number = (properties?[kCGImagePropertyOrientation] as? NSNumber)?.uint32Value
        // As Pillow does: an orientation that does not exist counts as none.
        let orientation = number.flatMap(CGImagePropertyOrientation.init(rawValue:)) ?? .up
        try self.init(image, orientation: orientation)
    }

    /// An image of the system, turned upright; `orientation` says how its rows lie.
    ///
    /// - Throws: `ClassifierError.unsupportedPixels` or `.wrongSize`.
    public init(_ image: CGImage, orientation: CGImagePropertyOrientation = .up) throws {
        let stored = try Self.asStored(image) ?? Self.drawn(image)
        self = stored.upright(from: Orientation(orientation))
    }

    /// A frame of a camera, turned upright; `orientation` says how its rows lie.
    ///
    /// - Throws: `ClassifierError.unsupportedPixels` or `.wrongSize`.
    public init(_ frame: CVPixelBuffer, orientation: CGImagePropertyOrientation = .up) throws {
        guard let layout = PixelLayout(frameFormat: CVPixelBufferGetPixelFormatType(frame)) else {
            let code = CVPixelBufferGetPixelFormatType(frame)
            throw ClassifierError.unsupportedPixels(kind: "video format \(fourCharacters(code))")
        }
        CVPixelBufferLockBaseAddress(frame, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(frame, .readOnly) }
        let (width, height) = (CVPixelBufferGetWidth(frame), CVPixelBufferGetHeight(frame))
        let bytesPerRow = CVPixelBufferGetBytesPerRow(frame)
        let bytes = UnsafeRawBufferPointer(
            start: CVPixelBufferGetBaseAddress(frame), count: bytesPerRow * height)
        let stored = try layout.pixels(
            in: bytes, width: width, height: height, bytesPerRow: bytesPerRow)
        self = stored.upright(from: Orientation(orientation))
    }

    /// The decoder's own bytes; nil: they lie in a way that `PixelLayout` does not read.
    private static func asStored(_ image: CGImage) throws -> Pixels? {
        guard image.decode == nil, let layout = PixelLayout(image), let data = image.dataProvider?.data
        else {
            return nil
        }
        return try (data as Data).withUnsafeBytes {
            try layout.pixels(
                in: $0, width: image.width, height: image.height, bytesPerRow: image.bytesPerRow)
        }
    }

    /// Palettes, 10-bit colour, screens and the like: drawn at their own size, into the colour space
    /// that they are in, so that no value is converted. Transparency falls onto black, up to one
    /// level from the exact value.
    private static func drawn(_ image: CGImage) throws -> Pixels {
        var space = image.colorSpace
        if space?.model == .indexed { space = space?.baseColorSpace }
        guard let space, space.model == .rgb || space.model == .monochrome, !image.isMask else {
            throw ClassifierError.unsupportedPixels(kind: "colour model of \(image)")
        }
        let isGrey = space.model == .monochrome
        let info = isGrey
            ? CGImageAlphaInfo.none.rawValue
            : CGImageAlphaInfo.premultipliedLast.rawValue | CGBitmapInfo.byteOrder32Big.rawValue
        guard
            let context = CGContext(
                data: nil, width: image.width, height: image.height, bitsPerComponent: 8,
                bytesPerRow: 0, space: space, bitmapInfo: info),
            let layout = PixelLayout(
                colours: isGrey ? 1 : 3, alpha: isGrey ? .none : .premultipliedLast, order: .big,
                bitsPerComponent: 8, bitsPerPixel: isGrey ? 8 : 32)
        else {
            throw ClassifierError.unsupportedPixels(
                kind: "\(image.bitsPerPixel) bits a pixel of \(image.width) x \(image.height)")
        }
        context.interpolationQuality = .none
        context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
        guard let data = context.data else {
            throw ClassifierError.unsupportedPixels(kind: "a bitmap without memory")
        }
        let bytes = UnsafeRawBufferPointer(start: data, count: context.bytesPerRow * image.height)
        return try layout.pixels(
            in: bytes, width: image.width, height: image.height, bytesPerRow: context.bytesPerRow)
    }

    /// A buffer of the format 32BGRA, as Core ML takes for an image. It carries no colour space, so
    /// that nothing converts it.
    func pixelBuffer() throws -> CVPixelBuffer {
        let attributes = [kCVPixelBufferIOSurfacePropertiesKey: [:] as CFDictionary] as CFDictionary
        var made: CVPixelBuffer?
        let code = CVPixelBufferCreate(
            kCFAllocatorDefault, width, height, kCVPixelFormatType_32BGRA, attributes, &made)
        guard code == kCVReturnSuccess, let buffer = made else {
            throw ClassifierError.noPixelBuffer(code: Int(code))
        }
        CVPixelBufferLockBaseAddress(buffer, [])
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)
        writeBGRA(
            to: UnsafeMutableRawBufferPointer(
                start: CVPixelBufferGetBaseAddress(buffer), count: bytesPerRow * height),
            bytesPerRow: bytesPerRow)
        return buffer
    }
}

extension Orientation {
    /// The same number: both follow EXIF.
    init(_ orientation: CGImagePropertyOrientation) {
        self = Orientation(rawValue: Int(orientation.rawValue)) ?? .up
    }
}

extension PixelLayout {
    /// Of an image as its decoder left it; nil: not read directly.
    init?(_ image: CGImage) {
        let info = image.bitmapInfo
        guard !info.contains(.floatComponents), !image.isMask else { return nil }
        let colours: Int
        switch image.colorSpace?.model {
        case .some(.rgb): colours = 3
        case .some(.monochrome): colours = 1
        default: return nil
        }
        let alpha: Alpha
        switch image.alphaInfo {
        case .none: alpha = .none
        case .last: alpha = .last
        case .first: alpha = .first
        case .premultipliedLast: alpha = .premultipliedLast
        case .premultipliedFirst: alpha = .premultipliedFirst
        case .noneSkipLast: alpha = .skipLast
        case .noneSkipFirst: alpha = .skipFirst
        default: return nil
        }
        let order: ByteOrder
        switch image.byteOrderInfo {
        case .orderDefault, .order16Big, .order32Big: order = .big
        case .order16Little: order = .little16
        case .order32Little: order = .little32
        default: return nil
        }
        self.init(
            colours: colours, alpha: alpha, order: order,
            bitsPerComponent: image.bitsPerComponent, bitsPerPixel: image.bitsPerPixel)
    }

    /// Of a camera's frame; opacity is not looked at. nil: not one of the formats read here.
    init?(frameFormat: OSType) {
        switch frameFormat {
        case kCVPixelFormatType_32BGRA: self.init(frame: 3, .skipFirst, .little32)
        case kCVPixelFormatType_32ARGB: self.init(frame: 3, .skipFirst, .big)
        case kCVPixelFormatType_32RGBA: self.init(frame: 3, .skipLast, .big)
        case kCVPixelFormatType_24RGB: self.init(frame: 3, .none, .big)
        case kCVPixelFormatType_OneComponent8: self.init(frame: 1, .none, .big)
        default: return nil
        }
    }

    private init?(frame colours: Int, _ alpha: Alpha, _ order: ByteOrder) {
        self.init(
            colours: colours, alpha: alpha, order: order, bitsPerComponent: 8,
            bitsPerPixel: alpha == .none ? 8 * colours : 32)
    }
}

/// A video format as its four letters, or as a number where they are none.
private func fourCharacters(_ code: OSType) -> String {
    let letters = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: code >> UInt32($0)) }
    let areText = letters.allSatisfy { (32..<127).contains($0) }
    return areText ? String(decoding: letters, as: UTF8.self) : String(code)
}
#endif
