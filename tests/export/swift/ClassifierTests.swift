// What only stand-ins allow to try. The tests put it into the package, with its module's name.

import CoreGraphics
import CoreML
import CoreVideo
import ImageIO
import UIKit
import XCTest

@testable import MODULE

final class ClassifierTests: XCTestCase {
    private lazy var folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("classifier-\(UUID().uuidString)", isDirectory: true)
    private var cache: URL { folder.appendingPathComponent("cache", isDirectory: true) }

    override func setUpWithError() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    /// Case `name` of the pack, as the stored image.
    private func image(_ name: String) throws -> CGImage {
        let file = GoldenPack.folder.appendingPathComponent("golden/images/\(name).png")
        let source = try XCTUnwrap(CGImageSourceCreateWithData(Data(contentsOf: file), nil))
        return try XCTUnwrap(CGImageSourceCreateImageAtIndex(source, 0, nil))
    }

    private func expected(_ name: String, _ model: String) throws -> [Float] {
        let golden = try XCTUnwrap(GoldenPack.read().cases.first { $0.name == name })
        return try XCTUnwrap(golden.probs[model])
    }

    func testAnImageOfTheSystemIsClassifiedByItsOrientation() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        let model = classifier.package.path
        for orientation in CGImagePropertyOrientation.up.rawValue...8 {
            let found = try classifier.classify(
                image("turned_\(orientation)"),
                orientation: XCTUnwrap(CGImagePropertyOrientation(rawValue: orientation)))
            XCTAssertEqual(found.probabilities, try expected("turned_\(orientation)", model))
        }
    }

    func testUIKitsOrientationsAreTheSameTurns() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        let turns: [(UIImage.Orientation, Int)] = [
            (.up, 1), (.upMirrored, 2), (.down, 3), (.downMirrored, 4), (.leftMirrored, 5),
            (.right, 6), (.rightMirrored, 7), (.left, 8),
        ]
        for (orientation, number) in turns {
            let name = "turned_\(number)"
            let photo = UIImage(cgImage: try image(name), scale: 1, orientation: orientation)
            XCTAssertEqual(
                try classifier.classify(photo).probabilities,
                try expected(name, classifier.package.path), name)
        }
    }

    func testACamerasFrameIsClassified() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        let pixels = try Pixels(image("rgbx"))
        let frame = try pixels.pixelBuffer()
        XCTAssertEqual(try Pixels(frame), pixels)
        XCTAssertEqual(
            try classifier.classify(frame).probabilities,
            try expected("rgbx", classifier.package.path))
        var planar: CVPixelBuffer?
        _ = CVPixelBufferCreate(kCFAllocatorDefault, 4, 4, 0x3432_3076, nil, &planar)
        XCTAssertThrowsError(try Pixels(XCTUnwrap(planar))) {
            XCTAssertEqual(
                $0 as? ClassifierError, .unsupportedPixels(kind: "video format 420v"))
        }
    }

    func testEvidenceIsReadByItsStridesAndShownAsAPicture() async throws {
        var withEvidence = 0
        for package in ModelFacts.packages {
            let classifier = try await ImageClassifier(
                package: package, in: GoldenPack.folder, cache: cache)
            guard let map = try classifier.classify(image("rgbx")).evidence else { continue }
            withEvidence += 1
            XCTAssertEqual(map.height, 3)
            XCTAssertEqual(map.width, 5)
            XCTAssertEqual(map.values.count, 2 * 15)
            XCTAssertTrue(map.values.allSatisfy(\.isFinite), "padding was read")
            let picture = try XCTUnwrap(
                map.heatMap(for: ModelFacts.labels[0], width: 37, height: 90).cgImage)
            XCTAssertEqual(picture.width, 37)
            XCTAssertEqual(picture.dataProvider?.data?.count, 37 * 90 * 4)
        }
        XCTAssertEqual(withEvidence, 1, "one of the models tells, the others give nil")
    }

    func testAModelIsCompiledOnceAndFoundAgain() async throws {
        let first = try await ImageClassifier(cache: cache)
        let compiled = cache.appendingPathComponent(first.package.cacheName)
        let made = try FileManager.default.attributesOfItem(atPath: compiled.path)
        _ = try await ImageClassifier(cache: cache)
        let again = try FileManager.default.attributesOfItem(atPath: compiled.path)
        XCTAssertEqual(
            made[.systemFileNumber] as? NSNumber, again[.systemFileNumber] as? NSNumber)
    }

    func testACompiledModelThatDoesNotLoadIsMadeAnew() async throws {
        let first = try await ImageClassifier(cache: cache)
        let compiled = cache.appendingPathComponent(first.package.cacheName)
        try FileManager.default.removeItem(at: compiled.appendingPathComponent("name"))
        let second = try await ImageClassifier(cache: cache)
        XCTAssertNoThrow(try second.classify(image("rgbx")))
    }

    func testAModelWithAChangedByteIsNotLoaded() async throws {
        let package = try XCTUnwrap(ModelFacts.packages.first)
        let own = folder.appendingPathComponent(package.path)
        try FileManager.default.copyItem(
            at: GoldenPack.folder.appendingPathComponent(package.path), to: own)
        _ = try await ImageClassifier(in: folder, cache: cache)
        let file = folder.appendingPathComponent(package.files[0].path)
        var content = try Data(contentsOf: file)
        content[content.count / 2] ^= 1
        try content.write(to: file)
        do {
            _ = try await ImageClassifier(in: folder, cache: cache)
            XCTFail("the compiled model of the cache was taken for the changed one")
        } catch let error as ClassifierError {
            guard case .changedFile(let path, _, _) = error else { return XCTFail("\(error)") }
            XCTAssertEqual(path, package.files[0].path)
        }
    }

    func testTheRuntimesRefusalsAreTypedErrors() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        let unknown = try Pixels(width: 1, height: 1, rgb: [1, 2, 3])
        XCTAssertThrowsError(try classifier.classify(unknown)) {
            guard case .predictionFailed = $0 as? ClassifierError else { return XCTFail("\($0)") }
        }
        do {
            _ = try await ImageClassifier(in: folder, cache: cache)
            XCTFail("there is no model in an empty folder")
        } catch let error as ClassifierError {
            guard case .noModel = error else { return XCTFail("\(error)") }
        }
    }

    func testFilesThatAreNoImagesAreTypedErrors() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        let whole = GoldenPack.folder.appendingPathComponent("golden/images/rgbx.png")
        let content = try Data(contentsOf: whole)
        let files = ["missing": nil, "text": Data("no image".utf8), "cut": content.dropLast(50)]
        for (name, content) in files {
            let file = folder.appendingPathComponent(name)
            try content?.write(to: file)
            XCTAssertThrowsError(try classifier.classify(contentsOf: file), name) {
                guard case .unreadableImage = $0 as? ClassifierError else {
                    return XCTFail("\(name): \($0)")
                }
            }
        }
    }

    func testInksAreNotTakenForColours() throws {
        let provider = try XCTUnwrap(CGDataProvider(data: Data(count: 4)))
        let inks = try XCTUnwrap(
            CGImage(
                width: 1, height: 1, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: 4,
                space: CGColorSpace(standIn: .cmyk), bitmapInfo: CGBitmapInfo(rawValue: 0),
                provider: provider, decode: nil, shouldInterpolate: false, intent: .defaultIntent))
        XCTAssertThrowsError(try Pixels(inks)) {
            guard case .unsupportedPixels = $0 as? ClassifierError else { return XCTFail("\($0)") }
        }
    }
}
