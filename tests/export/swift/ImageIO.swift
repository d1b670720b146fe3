// Stand-in: an image "file" is one line of JSON, which says how the bytes after it lie.

@_exported import CoreGraphics

public enum CGImagePropertyOrientation: UInt32, Sendable {
    case up = 1
    case upMirrored, down, downMirrored, leftMirrored, right, rightMirrored, left
}

public enum CGImageSourceStatus: Int32 {
    case statusUnexpectedEOF = -5
    case statusComplete = 0
}

public let kCGImagePropertyOrientation: CFString = "Orientation"

public final class CGImageSource {
    struct Header: Decodable {
        let width: Int
        let height: Int
        let bits: Int
        let pixelBits: Int
        let model: String
        let info: UInt32
        let bytesPerRow: Int
        let orientation: UInt32?
        let palette: [UInt8]?
    }
    let header: Header
    let bytes: Data

    init?(_ content: Data) {
        guard let end = content.firstIndex(of: 10),
            let header = try? JSONDecoder().decode(Header.self, from: content[..<end])
        else { return nil }
        self.header = header
        bytes = Data(content[(end + 1)...])
    }
}

public func CGImageSourceCreateWithData(_ data: CFData, _ options: CFDictionary?) -> CGImageSource? {
    CGImageSource(data)
}

public func CGImageSourceGetStatusAtIndex(_ source: CGImageSource, _ index: Int) -> CGImageSourceStatus {
    let whole = source.bytes.count >= source.header.bytesPerRow * source.header.height
    return whole ? .statusComplete : .statusUnexpectedEOF
}

public func CGImageSourceCopyPropertiesAtIndex(
    _ source: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CFDictionary? {
    guard let orientation = source.header.orientation else { return [:] }
    return [kCGImagePropertyOrientation: NSNumber(value: orientation)]
}

public func CGImageSourceCreateImageAtIndex(
    _ source: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CGImage? {
    let header = source.header
    let space: CGColorSpace
    switch header.model {
    case "rgb": space = CGColorSpace(standIn: .rgb)
    case "monochrome": space = CGColorSpace(standIn: .monochrome)
    case "cmyk": space = CGColorSpace(standIn: .cmyk)
    case "indexed":
        space = CGColorSpace(
            standIn: .indexed, base: CGColorSpace(standIn: .rgb), palette: header.palette ?? [])
    default: return nil
    }
    return CGImage(
        width: header.width, height: header.height, bitsPerComponent: header.bits,
        bitsPerPixel: header.pixelBits, bytesPerRow: header.bytesPerRow, space: space,
        bitmapInfo: CGBitmapInfo(rawValue: header.info), provider: CGDataProvider(data: source.bytes)!,
        decode: nil, shouldInterpolate: false, intent: .defaultIntent)
}
