import Foundation

/// What the model says of one image. Research only. Not a medical device; never use it for diagnosis.
public struct Classification: Equatable, Sendable {
    /// By the release's own rule: see `ModelFacts.threshold`.
    public let label: String
    /// In the order of `ModelFacts.labels`; their sum is 1.
    public let probabilities: [Float]
    /// Which parts of the image spoke for which label; nil: this model does not tell.
    public let evidence: EvidenceMap?

    /// - Throws: `ClassifierError.unexpectedOutput`: the probabilities are not the labels', or are
    ///   no numbers.
    init(
        probabilities byLabel: [String: Double],
        evidence: EvidenceMap? = nil,
        labels: [String] = ModelFacts.labels,
        positive: Int? = ModelFacts.positive,
        threshold: Float? = ModelFacts.threshold
    ) throws {
        probabilities = try Self.ordered(byLabel, labels: labels)
        self.evidence = evidence
        label = labels[Self.decide(probabilities, positive: positive, threshold: threshold)]
    }

    /// Core ML gives a dictionary, which has no order: by label, never by position.
    static func ordered(_ byLabel: [String: Double], labels: [String]) throws -> [Float] {
        guard byLabel.count == labels.count else {
            throw ClassifierError.unexpectedOutput(
                reason: "\(byLabel.count) probabilities for \(labels.count) labels")
        }
        return try labels.map { label in
            guard let probability = byLabel[label] else {
                throw ClassifierError.unexpectedOutput(reason: "no probability for \(label)")
            }
            guard probability.isFinite else {
                throw ClassifierError.unexpectedOutput(reason: "\(label) has \(probability)")
            }
            return Float(probability)
        }
    }

    /// The place of the label that is decided on: the positive one where its probability reaches
    /// the threshold, else the other one; without a threshold the most probable, the first on a tie.
    static func decide(_ probabilities: [Float], positive: Int?, threshold: Float?) -> Int {
        if let positive, let threshold {
            return probabilities[positive] >= threshold ? positive : 1 - positive
        }
        var best = 0
        for (place, probability) in probabilities.enumerated()
        where probability > probabilities[best] {
            best = place
        }
        return best
    }
}
