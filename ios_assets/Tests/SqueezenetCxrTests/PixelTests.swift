import XCTest

@testable import SqueezenetCxr

final class PixelTests: XCTestCase {
    /// Two columns, three rows; the red of a pixel is its place.
    private let small = Pixels(trusted: 2, 3, (0..<6).flatMap { [UInt8($0), 100, 200] })

    private func reds(_ pixels: Pixels) -> [UInt8] {
        stride(from: 0, to: pixels.rgb.count, by: 3).map { pixels.rgb[$0] }
    }

    func testBytesMustFitTheSize() {
        for (width, height, bytes) in [(0, 4, 0), (2, 2, 11), (2, 2, 13), (-1, -4, 12), (.max, 2, 6)] {
            XCTAssertThrowsError(
                try Pixels(width: width, height: height, rgb: [UInt8](repeating: 0, count: bytes))
            ) {
                XCTAssertEqual(
                    $0 as? ClassifierError, .wrongSize(width: width, height: height, bytes: bytes))
            }
        }
        XCTAssertNoThrow(try Pixels(width: 2, height: 2, rgb: [UInt8](repeating: 0, count: 12)))
    }

    func testEachOrientationIsTurnedUpright() {
        // The stored rows are 0 1 / 2 3 / 4 5.
        let upright: [Orientation: (Int, [UInt8])] = [
            .up: (2, [0, 1, 2, 3, 4, 5]),
            .upMirrored: (2, [1, 0, 3, 2, 5, 4]),
            .down: (2, [5, 4, 3, 2, 1, 0]),
            .downMirrored: (2, [4, 5, 2, 3, 0, 1]),
            .leftMirrored: (3, [0, 2, 4, 1, 3, 5]),
            .right: (3, [4, 2, 0, 5, 3, 1]),
            .rightMirrored: (3, [5, 3, 1, 4, 2, 0]),
            .left: (3, [1, 3, 5, 0, 2, 4]),
        ]
        for orientation in Orientation.allCases {
            let turned = small.upright(from: orientation)
            XCTAssertEqual(turned.width, upright[orientation]?.0, "\(orientation)")
            XCTAssertEqual(reds(turned), upright[orientation]?.1, "\(orientation)")
        }
    }

    func testTheModelsBufferIsBlueGreenRedOpaque() {
        var buffer = [UInt8](repeating: 7, count: 3 * 12)
        buffer.withUnsafeMutableBytes { small.writeBGRA(to: $0, bytesPerRow: 12) }
        XCTAssertEqual(Array(buffer[0..<8]), [200, 100, 0, 255, 200, 100, 1, 255])
        XCTAssertEqual(Array(buffer[8..<12]), [7, 7, 7, 7], "between the rows")
        XCTAssertEqual(Array(buffer[12..<16]), [200, 100, 2, 255])
    }

    func testAnImageOfTheModelsSizeStaysAsItIs() throws {
        let noise = try Pixels(width: 3, height: 3, rgb: (0..<27).map { UInt8($0 * 9) })
        XCTAssertEqual(noise.resized(by: Resize(width: 3, height: 3)), noise)
    }

    func testShrinkingAveragesWhatItSkips() {
        // Pillow 13 makes this of a row of white points among black: none is lost.
        let row = (0..<8).flatMap { [UInt8](repeating: $0 % 4 == 0 ? 255 : 0, count: 3) }
        let squished = Pixels(trusted: 8, 1, row).resized(by: Resize(width: 2, height: 2))
        XCTAssertEqual(squished.width, 2)
        XCTAssertEqual(squished.height, 2)
        XCTAssertEqual(reds(squished), [73, 46, 73, 46])
    }

    func testShrinkingAndGrowingRoundAsPillowDoes() throws {
        // 5 x 3 pixels of all colours become 4 x 4.
        let image = try Pixels(width: 5, height: 3, rgb: (0..<45).map { UInt8($0 * 37 % 256) })
        XCTAssertEqual(
            image.resized(by: Resize(width: 4, height: 4)).rgb,
            [
                28, 65, 102, 157, 88, 125, 137, 68, 105, 160, 197, 42,
                55, 92, 129, 118, 115, 152, 98, 95, 132, 187, 104, 69,
                87, 124, 137, 110, 147, 128, 90, 127, 164, 147, 64, 101,
                114, 151, 124, 137, 174, 61, 117, 154, 191, 54, 91, 128,
            ])
    }

    func testACropTakesTheMiddleAndAFrameIsFilledAsItSays() {
        let row = Pixels(trusted: 3, 1, [10, 20, 30].flatMap { [UInt8](repeating: $0, count: 3) })
        func resized(_ rule: Resize) -> [UInt8] { reds(row.resized(by: rule)) }
        XCTAssertEqual(resized(Resize(width: 3, height: 3, mode: .crop)), [UInt8](repeating: 20, count: 9))
        XCTAssertEqual(
            resized(Resize(width: 3, height: 3, mode: .pad)), [0, 0, 0, 10, 20, 30, 0, 0, 0])
        let nine: [Resize.Fill: [UInt8]] = [
            .zeros: [0, 0, 0, 10, 20, 30, 0, 0, 0],
            .border: [10, 10, 10, 10, 20, 30, 30, 30, 30],
            .reflection: [20, 30, 20, 10, 20, 30, 20, 10, 20],
        ]
        for (fill, reds) in nine {
            let rule = Resize(width: 9, height: 1, mode: .centre, fill: fill)
            XCTAssertEqual(resized(rule), reds, fill.rawValue)
        }
    }

    func testTallImagesAreResizedDownFirst() throws {
        // 5 x 11 pixels become 3 x 3; the other order gives other values.
        let image = try Pixels(width: 5, height: 11, rgb: (0..<165).map { UInt8($0 * 37 % 256) })
        XCTAssertEqual(
            image.resized(by: Resize(width: 3, height: 3)).rgb,
            [
                109, 127, 136, 117, 111, 124, 137, 122, 111,
                118, 141, 129, 130, 121, 146, 133, 130, 125,
                129, 134, 143, 127, 124, 130, 135, 125, 118,
            ])
    }

    func testEveryPositionSharesOutAllOfItsWeight() {
        for (from, to) in [(1, 224), (3, 224), (224, 224), (225, 224), (1000, 7), (5, 3)] {
            let rule = Resize(width: to, height: to)
            let taps = ResizeTaps(rule.window(width: from, height: from).across, to: to, of: rule)
            XCTAssertEqual(taps.count, to)
            for output in 0..<to {
                let its = taps.offsets[output]..<taps.offsets[output + 1]
                let sum = taps.weights[its].reduce(0) { $0 + Int($1) }
                XCTAssertEqual(
                    Double(sum), Double(1 << ResizeTaps.fractionBits), accuracy: Double(its.count))
                XCTAssertTrue(taps.places[its].allSatisfy { (0..<from).contains($0) })
                XCTAssertGreaterThan(its.count, 0)
            }
        }
    }
}
