import Foundation

/// The golden pack: images, the exact pixels that each must become, and what each model must say.
struct GoldenPack: Decodable {
    static let schema = 1

    let schema: Int
    let model: Model
    let side: Side
    let labels: [String]
    let cases: [Case]
    /// By the model's path: how far a probability may be off.
    let tolerances: [String: Float]
    /// Of the case that is furthest off.
    let pixelTolerance: PixelTolerance

    /// Of a square one number is stated, otherwise height and width.
    struct Side: Decodable {
        let height: Int
        let width: Int

        init(from decoder: Decoder) throws {
            let stated = try decoder.singleValueContainer()
            if let side = try? stated.decode(Int.self) {
                (height, width) = (side, side)
                return
            }
            let both = try stated.decode([Int].self)
            guard both.count == 2 else {
                throw DecodingError.dataCorruptedError(
                    in: stated, debugDescription: "a side, or height and width")
            }
            (height, width) = (both[0], both[1])
        }
    }

    struct Model: Decodable {
        let name: String
        let version: String
    }

    struct Case: Decodable {
        let name: String
        /// What is hard about it, in a sentence.
        let why: String
        /// Paths from the folder that holds `golden`.
        let image: String
        let tensor: String
        /// Of `height * width * 3` bytes, rows from the top, red, green, blue.
        let tensorSHA256: String
        /// By the model's path, in the order of `labels`.
        let probs: [String: [Float]]
        /// Its own, where the pack has one.
        let pixelTolerance: PixelTolerance?

        enum CodingKeys: String, CodingKey {
            case name, why, image, tensor, probs
            case tensorSHA256 = "tensor_sha256"
            case pixelTolerance = "pixel_tolerance"
        }
    }

    /// In levels of 0 to 255.
    struct PixelTolerance: Decodable {
        let maxAbs: Int
        let meanAbs: Double

        enum CodingKeys: String, CodingKey {
            case maxAbs = "max_abs"
            case meanAbs = "mean_abs"
        }
    }

    enum CodingKeys: String, CodingKey {
        case schema, model, side, labels, cases, tolerances
        case pixelTolerance = "pixel_tolerance"
    }

    /// The folder that holds `golden` and the models: the resources of these tests.
    static var folder: URL { Bundle.module.resourceURL ?? Bundle.module.bundleURL }

    static func read() throws -> GoldenPack {
        let file = folder.appendingPathComponent("golden/golden.json")
        return try JSONDecoder().decode(GoldenPack.self, from: Data(contentsOf: file))
    }
}
