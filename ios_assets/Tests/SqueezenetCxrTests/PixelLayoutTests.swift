import XCTest

@testable import SqueezenetCxr

final class PixelLayoutTests: XCTestCase {
    private func read(
        _ bytes: [UInt8], colours: Int, _ alpha: PixelLayout.Alpha, _ order: PixelLayout.ByteOrder,
        bits: Int, width: Int = 1, bytesPerRow: Int? = nil, height: Int = 1
    ) throws -> [UInt8] {
        let components = colours + (alpha == .none ? 0 : 1)
        let layout = try XCTUnwrap(
            PixelLayout(
                colours: colours, alpha: alpha, order: order, bitsPerComponent: bits,
                bitsPerPixel: components * bits))
        return try bytes.withUnsafeBytes {
            try layout.pixels(
                in: $0, width: width, height: height, bytesPerRow: bytesPerRow ?? bytes.count)
        }.rgb
    }

    func testComponentsAreFoundInEveryOrder() throws {
        XCTAssertEqual(try read([1, 2, 3], colours: 3, .none, .big, bits: 8), [1, 2, 3])
        XCTAssertEqual(try read([1, 2, 3, 9], colours: 3, .skipLast, .big, bits: 8), [1, 2, 3])
        XCTAssertEqual(try read([9, 1, 2, 3], colours: 3, .skipFirst, .big, bits: 8), [1, 2, 3])
        XCTAssertEqual(try read([3, 2, 1, 9], colours: 3, .skipFirst, .little32, bits: 8), [1, 2, 3])
        XCTAssertEqual(try read([9, 3, 2, 1], colours: 3, .skipLast, .little32, bits: 8), [1, 2, 3])
        XCTAssertEqual(try read([5], colours: 1, .none, .big, bits: 8), [5, 5, 5])
        XCTAssertEqual(try read([5, 9], colours: 1, .skipLast, .big, bits: 8), [5, 5, 5])
    }

    func testPaddingBetweenRowsIsSkipped() throws {
        let bytes: [UInt8] = [1, 2, 99, 99, 3, 4, 99, 99]
        XCTAssertEqual(
            try read(
                bytes, colours: 1, .none, .big, bits: 8, width: 2, bytesPerRow: 4, height: 2),
            [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
    }

    func testSixteenBitGreyIsScaledAndColourIsCut() throws {
        // 257 levels of 16 bits are one of 8: 128 above is still nearer to the lower one.
        for (value, expected) in [(0, 0), (128, 0), (129, 1), (385, 1), (386, 2), (65535, 255)] {
            let (high, low) = (UInt8(value >> 8), UInt8(value & 255))
            let grey = [UInt8](repeating: UInt8(expected), count: 3)
            XCTAssertEqual(try read([low, high], colours: 1, .none, .little16, bits: 16), grey)
            XCTAssertEqual(try read([high, low], colours: 1, .none, .big, bits: 16), grey)
        }
        XCTAssertEqual(
            try read([255, 1, 255, 2, 255, 3], colours: 3, .none, .little16, bits: 16), [1, 2, 3])
    }

    func testTransparencyFallsOntoBlack() throws {
        XCTAssertEqual(
            try read([200, 100, 50, 0], colours: 3, .last, .big, bits: 8), [0, 0, 0])
        XCTAssertEqual(
            try read([200, 100, 50, 255], colours: 3, .last, .big, bits: 8), [200, 100, 50])
        XCTAssertEqual(
            try read([128, 200, 100, 50], colours: 3, .first, .big, bits: 8), [100, 50, 25])
        XCTAssertEqual(
            try read([50, 100, 200, 128], colours: 3, .first, .little32, bits: 8), [100, 50, 25])
        XCTAssertEqual(
            try read([100, 50, 25, 128], colours: 3, .premultipliedLast, .big, bits: 8),
            [100, 50, 25], "multiplied already")
    }

    func testLayoutsThatAreNotReadAreSaidSo() {
        func layout(
            _ colours: Int, _ alpha: PixelLayout.Alpha, _ order: PixelLayout.ByteOrder, _ bits: Int,
            _ pixel: Int
        ) -> PixelLayout? {
            PixelLayout(
                colours: colours, alpha: alpha, order: order, bitsPerComponent: bits,
                bitsPerPixel: pixel)
        }
        XCTAssertNil(layout(3, .none, .big, 5, 16), "5 bits a colour")
        XCTAssertNil(layout(3, .none, .big, 8, 32), "padding that is not spoken of")
        XCTAssertNil(layout(3, .last, .little16, 8, 32), "exchanged in pairs")
        XCTAssertNil(layout(3, .last, .little32, 16, 64), "16 bits by 32")
        XCTAssertNil(layout(4, .none, .big, 8, 32), "four inks")
        XCTAssertNotNil(layout(3, .last, .little16, 16, 64))
    }

    func testTooFewBytesAreAnError() {
        XCTAssertThrowsError(
            try read([1, 2, 3, 4], colours: 1, .none, .big, bits: 8, width: 3, bytesPerRow: 3, height: 2)
        ) {
            XCTAssertEqual($0 as? ClassifierError, .wrongSize(width: 3, height: 2, bytes: 4))
        }
    }
}
