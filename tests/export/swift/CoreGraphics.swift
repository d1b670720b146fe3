// Stand-in: images whose bytes are at hand, and contexts that copy 8-bit images as they are.

@_exported import Foundation

public typealias CFData = Data
public typealias CFString = String
public typealias CFDictionary = [AnyHashable: Any]
public typealias CFAllocator = Int
public let kCFAllocatorDefault: CFAllocator? = nil

public enum CGImageAlphaInfo: UInt32 {
    case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst
    case alphaOnly
}

public enum CGImageByteOrderInfo: UInt32 {
    case orderMask = 0x7000
    case orderDefault = 0
    case order16Little = 0x1000
    case order32Little = 0x2000
    case order16Big = 0x3000
    case order32Big = 0x4000
}

public struct CGBitmapInfo: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let floatComponents = CGBitmapInfo(rawValue: 0x100)
    public static let byteOrder32Big = CGBitmapInfo(rawValue: 0x4000)
}

public enum CGColorSpaceModel: Int32 {
    case unknown = -1
    case monochrome, rgb, cmyk, lab, deviceN, indexed, pattern, XYZ
}

public enum CGColorRenderingIntent: Int32 { case defaultIntent }
public enum CGInterpolationQuality: Int32 { case `default`, none }

public final class CGColorSpace {
    public static let sRGB: CFString = "sRGB"
    public let model: CGColorSpaceModel
    public let baseColorSpace: CGColorSpace?
    public let palette: [UInt8]
    public init?(name: CFString) {
        model = .rgb
        baseColorSpace = nil
        palette = []
    }
    public init(standIn model: CGColorSpaceModel, base: CGColorSpace? = nil, palette: [UInt8] = []) {
        self.model = model
        baseColorSpace = base
        self.palette = palette
    }
}

public final class CGDataProvider {
    public let data: CFData?
    public init?(data: CFData) { self.data = data }
}

public final class CGImage {
    public let width: Int
    public let height: Int
    public let bitsPerComponent: Int
    public let bitsPerPixel: Int
    public let bytesPerRow: Int
    public let colorSpace: CGColorSpace?
    public let bitmapInfo: CGBitmapInfo
    public let dataProvider: CGDataProvider?
    public var decode: UnsafePointer<CGFloat>? { nil }
    public var isMask: Bool { false }
    public var alphaInfo: CGImageAlphaInfo { CGImageAlphaInfo(rawValue: bitmapInfo.rawValue & 0x1F)! }
    public var byteOrderInfo: CGImageByteOrderInfo {
        CGImageByteOrderInfo(rawValue: bitmapInfo.rawValue & 0x7000)!
    }
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: CGBitmapInfo, provider: CGDataProvider,
        decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool, intent: CGColorRenderingIntent
    ) {
        self.width = width
        self.height = height
        self.bitsPerComponent = bitsPerComponent
        self.bitsPerPixel = bitsPerPixel
        self.bytesPerRow = bytesPerRow
        self.bitmapInfo = bitmapInfo
        colorSpace = space
        dataProvider = provider
    }
}

public final class CGContext {
    public var interpolationQuality = CGInterpolationQuality.default
    public let bytesPerRow: Int
    public let data: UnsafeMutableRawPointer?
    private let width: Int
    private let height: Int

    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int,
        bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32
    ) {
        guard bitsPerComponent == 8, space.model == .rgb, bitmapInfo == 0x4001 else { return nil }
        self.width = width
        self.height = height
        self.bytesPerRow = (width * 4 + 63) / 64 * 64  // padded, as Apple's are
        self.data = .allocate(byteCount: self.bytesPerRow * height, alignment: 64)
    }

    deinit { data?.deallocate() }

    /// Palettes at their own size: all that the package draws here.
    public func draw(_ image: CGImage, in rect: CGRect) {
        precondition(Int(rect.width) == width && Int(rect.height) == height)
        guard let target = data, let space = image.colorSpace, let source = image.dataProvider?.data
        else { return }
        precondition(space.model == .indexed && interpolationQuality == .none)
        for row in 0..<height {
            for column in 0..<width {
                let entry = Int(source[row * image.bytesPerRow + column]) * 3
                let place = target + row * bytesPerRow + column * 4
                for colour in 0..<3 {
                    place.storeBytes(
                        of: space.palette[entry + colour], toByteOffset: colour, as: UInt8.self)
                }
                place.storeBytes(of: 255, toByteOffset: 3, as: UInt8.self)
            }
        }
    }
}
