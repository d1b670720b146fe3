import XCTest

@testable import SqueezenetCxr

final class ModelPackageTests: XCTestCase {
    private lazy var folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("model-\(UUID().uuidString)", isDirectory: true)

    override func setUpWithError() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    /// Stands in for SHA-256, which every system has by another name.
    private func fingerprint(_ content: Data) -> String { content.map { String($0) }.joined(separator: ".") }

    private func package(_ name: String = "m", _ content: String = "1.2.3") -> ModelPackage {
        ModelPackage(
            path: name, precision: "fp32", oldestIOS: "16.0", oldestMacOS: "13.0",
            files: [ModelFile(path: "\(name)/data", sizeBytes: 3, sha256: content)])
    }

    private func write(_ bytes: [UInt8], to path: String = "m/data") throws {
        let place = folder.appendingPathComponent(path)
        try FileManager.default.createDirectory(
            at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: place)
    }

    func testTheReleasedFilesPass() throws {
        try write([1, 2, 3])
        XCTAssertNoThrow(try package().check(in: folder, sha256: fingerprint))
    }

    func testAChangedByteIsFound() throws {
        try write([1, 2, 4])
        XCTAssertThrowsError(try package().check(in: folder, sha256: fingerprint)) {
            XCTAssertEqual(
                $0 as? ClassifierError,
                .changedFile(path: "m/data", expected: "1.2.3", found: "1.2.4"))
        }
    }

    func testAFileOfAnotherSizeIsFound() throws {
        try write([1, 2, 3, 4])
        XCTAssertThrowsError(
            try package().check(in: folder, sha256: { _ in "1.2.3" }), "whatever its hash")
    }

    func testAMissingFileIsFound() {
        XCTAssertThrowsError(try package().check(in: folder, sha256: fingerprint)) {
            XCTAssertEqual($0 as? ClassifierError, .missingFile(path: "m/data"))
        }
    }

    func testTheBundledModelIsTheOneThatIsThere() throws {
        let packages = [package("first"), package("second")]
        XCTAssertThrowsError(try ModelPackage.bundled(in: folder, of: packages)) {
            XCTAssertEqual(
                $0 as? ClassifierError,
                .noModel(folder: folder.path, known: ["first", "second"]))
        }
        try write([1], to: "second/data")
        XCTAssertEqual(try ModelPackage.bundled(in: folder, of: packages), packages[1])
    }

    func testTheCacheNameChangesWithAnyFile() {
        XCTAssertEqual(package("m", "aa").cacheName, "m-aa.mlmodelc")
        XCTAssertNotEqual(package("m", "aa").cacheName, package("m", "ab").cacheName)
        XCTAssertEqual(Set(ModelFacts.packages.map(\.cacheName)).count, ModelFacts.packages.count)
    }

    func testEveryModelOfTheReleaseIsWholeInTheTestsBundle() throws {
        for package in ModelFacts.packages {
            for file in package.files {
                let place = GoldenPack.folder.appendingPathComponent(file.path)
                XCTAssertEqual(try Data(contentsOf: place).count, file.sizeBytes, file.path)
                XCTAssertEqual(file.sha256.count, 64)
            }
        }
    }
}
