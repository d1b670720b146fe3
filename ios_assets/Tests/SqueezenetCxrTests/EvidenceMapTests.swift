import XCTest

@testable import SqueezenetCxr

final class EvidenceMapTests: XCTestCase {
    /// Two labels on a grid of one row and two columns.
    private func map() throws -> EvidenceMap {
        try EvidenceMap(labels: ["a", "b"], height: 1, width: 2, values: [3, 1, 1, 2])
    }

    func testContrastIsTakenToTheMeanOfTheOthers() throws {
        XCTAssertEqual(try map().contrast(for: "a"), [2, -1])
        XCTAssertEqual(try map().contrast(for: "b"), [-2, 1])
        let three = try EvidenceMap(labels: ["a", "b", "c"], height: 1, width: 1, values: [5, 1, 3])
        XCTAssertEqual(try three.contrast(for: "a"), [3])
        let one = try EvidenceMap(labels: ["a"], height: 1, width: 1, values: [5])
        XCTAssertEqual(try one.contrast(for: "a"), [5])
    }

    func testALabelThatIsNotThereIsAnError() throws {
        XCTAssertThrowsError(try map().contrast(for: "x")) {
            XCTAssertEqual($0 as? ClassifierError, .unknownLabel("x"))
        }
    }

    func testValuesMustFillTheGrid() {
        XCTAssertThrowsError(try EvidenceMap(labels: ["a"], height: 2, width: 2, values: [1, 2, 3]))
        XCTAssertThrowsError(try EvidenceMap(labels: ["a"], height: 0, width: 2, values: []))
    }

    func testUpsamplingIsLinearBetweenTheMiddlesOfCells() {
        XCTAssertEqual(
            EvidenceMap.upsampled([0, 4], height: 1, width: 2, toHeight: 2, toWidth: 4),
            [0, 1, 3, 4, 0, 1, 3, 4])
        XCTAssertEqual(
            EvidenceMap.upsampled([0, 4, 8, 12], height: 2, width: 2, toHeight: 2, toWidth: 2),
            [0, 4, 8, 12], "the same size")
        XCTAssertEqual(
            EvidenceMap.upsampled([7], height: 1, width: 1, toHeight: 2, toWidth: 3),
            [7, 7, 7, 7, 7, 7])
    }

    func testRedSpeaksForTheLabelAndBlueAgainst() throws {
        let picture = try map().heatMap(for: "a", width: 2, height: 1)
        XCTAssertEqual(picture.rgba, [153, 0, 0, 153, 0, 0, 77, 77])
        let weaker = try map().heatMap(for: "a", width: 2, height: 1, strongest: 4)
        XCTAssertEqual(weaker.rgba, [77, 0, 0, 77, 0, 0, 38, 38])
    }

    func testAMapWithoutContrastShowsNothing() throws {
        let flat = try EvidenceMap(labels: ["a", "b"], height: 1, width: 1, values: [2, 2])
        XCTAssertEqual(try flat.heatMap(for: "a", width: 1, height: 1).rgba, [0, 0, 0, 0])
        XCTAssertThrowsError(try flat.heatMap(for: "a", width: 0, height: 1))
    }
}
