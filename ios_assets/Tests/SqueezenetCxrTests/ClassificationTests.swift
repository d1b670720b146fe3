import XCTest

@testable import SqueezenetCxr

final class ClassificationTests: XCTestCase {
    func testProbabilitiesFollowTheLabelsAndNotTheDictionary() throws {
        let found = try Classification(
            probabilities: ["b": 0.25, "a": 0.5, "c": 0.25], labels: ["c", "a", "b"], positive: nil,
            threshold: nil)
        XCTAssertEqual(found.probabilities, [0.25, 0.5, 0.25])
        XCTAssertEqual(found.label, "a")
        XCTAssertNil(found.evidence)
    }

    func testTheThresholdDecidesAndIsReachedWhenEqual() {
        XCTAssertEqual(Classification.decide([0.3, 0.7], positive: 0, threshold: 0.3), 0)
        XCTAssertEqual(Classification.decide([0.29, 0.71], positive: 0, threshold: 0.3), 1)
        XCTAssertEqual(Classification.decide([0.6, 0.4], positive: 1, threshold: 0.4), 1)
        XCTAssertEqual(Classification.decide([0.7, 0.3], positive: 1, threshold: 0.4), 0)
    }

    func testWithoutAThresholdTheFirstOfTheMostProbableWins() {
        XCTAssertEqual(Classification.decide([0.2, 0.4, 0.4], positive: nil, threshold: nil), 1)
        XCTAssertEqual(Classification.decide([1], positive: nil, threshold: nil), 0)
    }

    func testOtherLabelsAndNumbersAreErrors() {
        let wrong: [[String: Double]] = [
            ["a": 1], ["a": 0.5, "x": 0.5], ["a": .nan, "b": 0.5], ["a": 0.5, "b": 0.25, "c": 0.25],
        ]
        for probabilities in wrong {
            XCTAssertThrowsError(
                try Classification.ordered(probabilities, labels: ["a", "b"]), "\(probabilities)"
            ) {
                guard case .unexpectedOutput = $0 as? ClassifierError else {
                    return XCTFail("\($0)")
                }
            }
        }
    }

    func testTheFactsOfTheReleaseBelongTogether() throws {
        XCTAssertEqual(Set(ModelFacts.labels).count, ModelFacts.labels.count)
        XCTAssertEqual(ModelFacts.positive == nil, ModelFacts.threshold == nil)
        XCTAssertTrue(ModelFacts.positive.map(ModelFacts.labels.indices.contains) ?? true)
        let even = Double(1) / Double(ModelFacts.labels.count)
        let byLabel = Dictionary(uniqueKeysWithValues: ModelFacts.labels.map { ($0, even) })
        XCTAssertTrue(ModelFacts.labels.contains(try Classification(probabilities: byLabel).label))
    }

    func testEveryErrorSaysWhatAndTheWayOut() {
        let errors: [ClassifierError] = [
            .noModel(folder: "here", known: ["m"]), .missingFile(path: "m"),
            .changedFile(path: "m", expected: "aa", found: "bb"), .cannotLoad(path: "m", reason: "r"),
            .unreadableImage(reason: "r"), .wrongSize(width: 1, height: 2, bytes: 3),
            .unsupportedPixels(kind: "k"), .noPixelBuffer(code: -1), .predictionFailed(reason: "r"),
            .unexpectedOutput(reason: "r"), .unknownLabel("l"),
        ]
        for error in errors {
            XCTAssertFalse((error.errorDescription ?? "").isEmpty, "\(error)")
            XCTAssertFalse((error.recoverySuggestion ?? "").isEmpty, "\(error)")
        }
        XCTAssertEqual(
            ClassifierError.wrongSize(width: 1, height: 2, bytes: 3).localizedDescription,
            "3 bytes are no RGB image of 1 x 2 pixels.")
    }
}
