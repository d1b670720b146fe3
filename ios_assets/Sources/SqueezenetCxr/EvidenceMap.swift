import Foundation

/// Which parts of the image spoke for which label, on a coarse grid: where the network looked, which
/// is no map of lesions. Research only. Not a medical device; never use it for diagnosis.
///
/// The grid covers the model's input: of an image, what `ModelFacts.resize` takes of it
/// (`Resize.window`, without its margin). In units of logits: the mean of a label's values over the
/// grid is its logit.
public struct EvidenceMap: Equatable, Sendable {
    public let labels: [String]
    /// Rows and columns of the grid.
    public let height: Int
    public let width: Int
    /// By label, then by row from the top, then by column.
    public let values: [Float]

    /// - Throws: `ClassifierError.unexpectedOutput`: the values do not fill the grid.
    public init(labels: [String], height: Int, width: Int, values: [Float]) throws {
        guard height > 0, width > 0, values.count == labels.count * height * width else {
            throw ClassifierError.unexpectedOutput(
                reason: "\(values.count) values of evidence for \(labels.count) labels on a grid of "
                    + "\(height) x \(width)")
        }
        self.labels = labels
        self.height = height
        self.width = width
        self.values = values
    }

    /// What speaks for a label over the mean of the others, by row and column of the grid: only
    /// such differences move the probabilities.
    ///
    /// - Throws: `ClassifierError.unknownLabel`.
    public func contrast(for label: String) throws -> [Float] {
        guard let place = labels.firstIndex(of: label) else {
            throw ClassifierError.unknownLabel(label)
        }
        let others = labels.indices.filter { $0 != place }
        let cells = height * width
        return (0..<cells).map { cell in
            let own = values[place * cells + cell]
            if others.isEmpty { return own }
            let sum = others.reduce(Float(0)) { $0 + values[$1 * cells + cell] }
            return own - sum / Float(others.count)
        }
    }

    /// `contrast(for:)` as a picture to lay over what the model was given of the image, stretched to
    /// its shape: red speaks for the label, blue against.
    ///
    /// - Parameters:
    ///   - width: of the picture in pixels; that of what it lies over, or less.
    ///   - strongest: the contrast that is shown in full colour; nil: the largest of this map. Give
    ///     one number to compare several images.
    /// - Throws: `ClassifierError.unknownLabel` or `.wrongSize`.
    public func heatMap(
        for label: String, width: Int, height: Int, strongest: Float? = nil
    ) throws -> HeatMap {
        guard width > 0, height > 0 else {
            throw ClassifierError.wrongSize(width: width, height: height, bytes: 0)
        }
        let coarse = try contrast(for: label)
        let largest = strongest ?? coarse.map { abs($0) }.max() ?? 0
        let fine = Self.upsampled(
            coarse, height: self.height, width: self.width, toHeight: height, toWidth: width)
        return HeatMap(width: width, height: height, values: fine, strongest: largest)
    }

    /// Bilinear between the middles of the cells, constant beyond the outermost.
    static func upsampled(
        _ plane: [Float], height: Int, width: Int, toHeight: Int, toWidth: Int
    ) -> [Float] {
        let rows = neighbours(of: height, at: toHeight)
        let columns = neighbours(of: width, at: toWidth)
        var fine: [Float] = []
        fine.reserveCapacity(toHeight * toWidth)
        for row in rows {
            for column in columns {
                let upper = plane[row.low * width + column.low] * (1 - column.share)
                    + plane[row.low * width + column.high] * column.share
                let lower = plane[row.high * width + column.low] * (1 - column.share)
                    + plane[row.high * width + column.high] * column.share
                fine.append(upper * (1 - row.share) + lower * row.share)
            }
        }
        return fine
    }

    /// For each of `newSize` positions the two cells around it, and the share of the second.
    private static func neighbours(
        of size: Int, at newSize: Int
    ) -> [(low: Int, high: Int, share: Float)] {
        (0..<newSize).map { position in
            let middle = (Float(position) + 0.5) * Float(size) / Float(newSize) - 0.5
            let inside = min(max(middle, 0), Float(size - 1))
            let low = Int(inside)
            return (low, min(low + 1, size - 1), inside - Float(low))
        }
    }
}

/// A picture to lay over an image: red, green, blue, opacity, the colours multiplied by the opacity.
public struct HeatMap: Equatable, Sendable {
    /// Opacity of the strongest colour: the image stays visible below it.
    static let densest: Float = 0.6

    public let width: Int
    public let height: Int
    /// `width * height * 4` bytes, rows from the top.
    public let rgba: [UInt8]

    init(width: Int, height: Int, values: [Float], strongest: Float) {
        self.width = width
        self.height = height
        rgba = values.flatMap { value -> [UInt8] in
            let strength = strongest > 0 ? min(abs(value) / strongest, 1) : 0
            let opacity = UInt8((strength * Self.densest * 255).rounded())
            return value > 0 ? [opacity, 0, 0, opacity] : [0, 0, opacity, opacity]
        }
    }
}
