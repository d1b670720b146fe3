#if canImport(CoreML)
import CoreML
import XCTest

@testable import SqueezenetCxr

/// The golden pack, on this device. Three questions, so that a failure says whose it is:
///
/// 1. `testImagesBecomeTheirPixels`: does an image become the pixels that it must? If not, the fault
///    is in the preprocessing: a decoder, an orientation, a filter, an order of colours.
/// 2. `testModelsAnswerOnTheExactPixels`: does each model, given those very pixels, say what it
///    must? If not, the fault is in the model's file or in Core ML on this device.
/// 3. `testTheWholeWay`: both together, as an app calls them.
final class GoldenTests: XCTestCase {
    /// How far probabilities may be off where a decoder's pixels differ within their own tolerance,
    /// beside the model's: JPEG decoders round differently.
    static let decodingAllowance: Float = 0.05

    func testThePackIsOfThisRelease() throws {
        let pack = try GoldenPack.read()
        XCTAssertEqual(pack.schema, GoldenPack.schema)
        XCTAssertEqual(pack.model.name, ModelFacts.name)
        XCTAssertEqual(pack.model.version, ModelFacts.version)
        XCTAssertEqual(pack.side.width, ModelFacts.resize.width)
        XCTAssertEqual(pack.side.height, ModelFacts.resize.height)
        XCTAssertEqual(pack.labels, ModelFacts.labels)
        XCTAssertFalse(pack.cases.isEmpty)
    }

    func testImagesBecomeTheirPixels() throws {
        let pack = try GoldenPack.read()
        for golden in pack.cases {
            guard let expected = try exactPixels(golden) else { continue }
            let found = try Pixels(contentsOf: place(golden.image)).resized(by: ModelFacts.resize)
            let (largest, mean) = Self.difference(found, expected)
            let allowed = golden.pixelTolerance ?? pack.pixelTolerance
            XCTAssertTrue(
                largest <= allowed.maxAbs && mean <= allowed.meanAbs,
                "PREPROCESSING: \(golden.name) is off by up to \(largest) levels, \(mean) in the "
                    + "mean; \(golden.why)")
        }
    }

    func testModelsAnswerOnTheExactPixels() async throws {
        let pack = try GoldenPack.read()
        try await forEachModel(of: pack) { classifier, tolerance in
            for golden in pack.cases {
                let expected = try XCTUnwrap(golden.probs[classifier.package.path])
                guard let pixels = try exactPixels(golden) else { continue }
                let found = try classifier.run(pixels).probabilities
                let off = Self.difference(found, expected)
                XCTAssertLessThanOrEqual(
                    off, tolerance,
                    "MODEL OR RUNTIME: \(classifier.package.path) says \(found) of the exact "
                        + "pixels of \(golden.name), for \(expected)")
            }
        }
    }

    func testTheWholeWay() async throws {
        let pack = try GoldenPack.read()
        try await forEachModel(of: pack) { classifier, tolerance in
            for golden in pack.cases {
                let expected = try XCTUnwrap(golden.probs[classifier.package.path])
                let file = place(golden.image)
                let pixels = try Pixels(contentsOf: file).resized(by: ModelFacts.resize)
                guard let exact = try exactPixels(golden) else { continue }
                let isExact = pixels == exact
                let allowed = tolerance + (isExact ? 0 : Self.decodingAllowance)
                let found = try classifier.classify(contentsOf: file)
                let off = Self.difference(found.probabilities, expected)
                XCTAssertLessThanOrEqual(
                    off, allowed,
                    "\(golden.name): \(classifier.package.path) says \(found.probabilities) for "
                        + "\(expected), of \(isExact ? "exact" : "nearly exact") pixels")
                if isFirmlyDecided(expected, allowed) {
                    let decision = Classification.decide(
                        expected, positive: ModelFacts.positive, threshold: ModelFacts.threshold)
                    XCTAssertEqual(found.label, ModelFacts.labels[decision], golden.name)
                }
            }
        }
    }

    func testTheModelThatTheAppGetsLoadsFromItsOwnBundle() async throws {
        let classifier = try await ImageClassifier(cache: cache)
        XCTAssertTrue(ModelFacts.packages.contains(classifier.package))
    }

    // MARK: - Help

    private lazy var cache = FileManager.default.temporaryDirectory
        .appendingPathComponent("golden-\(UUID().uuidString)", isDirectory: true)

    override func tearDownWithError() throws {
        if FileManager.default.fileExists(atPath: cache.path) {
            try FileManager.default.removeItem(at: cache)
        }
    }

    /// Every model of the pack that this system loads, on the compute units of an app; the others
    /// are named in a skip at the end.
    private func forEachModel(
        of pack: GoldenPack, _ check: (ImageClassifier, Float) throws -> Void
    ) async throws {
        var tooNew: [String] = []
        for package in ModelFacts.packages {
            guard package.loadsHere else {
                tooNew.append(package.path)
                continue
            }
            let tolerance = try XCTUnwrap(pack.tolerances[package.path], package.path)
            let classifier = try await ImageClassifier(
                package: package, in: GoldenPack.folder, cache: cache)
            try check(classifier, tolerance)
        }
        if !tooNew.isEmpty {
            throw XCTSkip("not run, this system is older than they need: \(tooNew)")
        }
    }

    private func place(_ path: String) -> URL { GoldenPack.folder.appendingPathComponent(path) }

    /// The pixels that the image must become. Their hash proves that they were read unchanged; if
    /// they were not, that is a failure of preprocessing, and no model is asked about them: nil.
    private func exactPixels(_ golden: GoldenPack.Case) throws -> Pixels? {
        let pixels = try Pixels(contentsOf: place(golden.tensor))
        let found = ImageClassifier.sha256(of: Data(pixels.rgb))
        XCTAssertEqual(found, golden.tensorSHA256, "PREPROCESSING: \(golden.tensor) is read wrongly")
        return found == golden.tensorSHA256 ? pixels : nil
    }

    /// Whether the decision stays the same when every probability moves by `allowed`.
    private func isFirmlyDecided(_ probabilities: [Float], _ allowed: Float) -> Bool {
        if let positive = ModelFacts.positive, let threshold = ModelFacts.threshold {
            return abs(probabilities[positive] - threshold) > allowed
        }
        let sorted = probabilities.sorted(by: >)
        return sorted.count < 2 || sorted[0] - sorted[1] > 2 * allowed
    }

    private static func difference(_ found: Pixels, _ expected: Pixels) -> (Int, Double) {
        guard found.width == expected.width, found.height == expected.height else { return (255, 255) }
        var (largest, sum) = (0, 0)
        for (one, other) in zip(found.rgb, expected.rgb) {
            let off = abs(Int(one) - Int(other))
            largest = max(largest, off)
            sum += off
        }
        return (largest, Double(sum) / Double(expected.rgb.count))
    }

    /// The largest of the differences; infinite where one is no number.
    private static func difference(_ found: [Float], _ expected: [Float]) -> Float {
        guard found.count == expected.count else { return .infinity }
        return zip(found, expected).map { pair in
            let off = abs(pair.0 - pair.1)
            return off.isNaN ? .infinity : off
        }.max() ?? .infinity
    }
}

extension ModelPackage {
    /// Whether this system is new enough for the model.
    fileprivate var loadsHere: Bool {
        #if os(macOS)
        let needed = oldestMacOS
        #else
        let needed = oldestIOS
        #endif
        let parts = needed.split(separator: ".").compactMap { Int($0) }
        #if os(macOS) || os(iOS)
        return ProcessInfo.processInfo.isOperatingSystemAtLeast(
            OperatingSystemVersion(
                majorVersion: parts[0], minorVersion: parts.count > 1 ? parts[1] : 0,
                patchVersion: 0))
        #else
        return !parts.isEmpty
        #endif
    }
}
#endif
