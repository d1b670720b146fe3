#if canImport(CoreML)
import CoreGraphics
import CoreML
import CoreVideo
import CryptoKit
import Foundation
import ImageIO

/// The model, ready to classify images of any size.
///
/// Research only. Not a medical device; never use it for diagnosis.
/// Show `ModelFacts.intendedUse` wherever a result is shown.
///
/// All preprocessing happens here, as in training: the image upright, transparency on black, 8-bit
/// RGB as stored, resized to the model's size as Resize.swift says. Core ML is handed an
/// image of exactly the size that it takes, and changes nothing about it.
public final class ImageClassifier: @unchecked Sendable {
    /// Where the model runs best, as measured or promised by the release.
    public static let computeUnits: MLComputeUnits = .all

    public let package: ModelPackage
    private let model: MLModel
    /// A model of Core ML serves one caller at a time.
    private let lock = NSLock()

    /// Check the model's files, compile them where that was not done before, and load the model.
    /// The first start compiles, which takes a moment on older phones: show that something happens.
    ///
    /// - Parameters:
    ///   - package: one of `ModelFacts.packages`; nil: the one that lies in `folder`.
    ///   - folder: where the model lies; nil: this package's resources.
    ///   - cache: where the compiled model is kept; nil: the app's caches.
    /// - Throws: `ClassifierError`.
    public init(
        package: ModelPackage? = nil,
        in folder: URL? = nil,
        cache: URL? = nil,
        computeUnits: MLComputeUnits = ImageClassifier.computeUnits
    ) async throws {
        let place = folder ?? Bundle.module.resourceURL ?? Bundle.module.bundleURL
        let chosen = try package ?? .bundled(in: place, of: ModelFacts.packages)
        try chosen.check(in: place, sha256: Self.sha256)
        let configuration = MLModelConfiguration()
        configuration.computeUnits = computeUnits
        self.package = chosen
        model = try await Self.load(
            chosen, at: place.appendingPathComponent(chosen.path),
            cache: cache ?? Self.caches(), configuration)
        try Self.checkFeatures(of: model)
    }

    /// Classify an image.
    ///
    /// - Parameter orientation: how its rows lie. A `CGImage` does not say: a photo's orientation
    ///   is in its file (use `classify(contentsOf:)`) or in its `UIImage`.
    /// - Throws: `ClassifierError`.
    public func classify(
        _ image: CGImage, orientation: CGImagePropertyOrientation = .up
    ) throws -> Classification {
        try classify(Pixels(image, orientation: orientation))
    }

    /// Classify a frame of a camera: 32BGRA, 32ARGB, 32RGBA, 24RGB or 8-bit grey. Opacity is ignored.
    ///
    /// - Throws: `ClassifierError`.
    public func classify(
        _ frame: CVPixelBuffer, orientation: CGImagePropertyOrientation = .up
    ) throws -> Classification {
        try classify(Pixels(frame, orientation: orientation))
    }

    /// Classify an image file, turned upright by its own EXIF orientation.
    ///
    /// - Throws: `ClassifierError`.
    public func classify(contentsOf file: URL) throws -> Classification {
        try classify(Pixels(contentsOf: file))
    }

    /// Classify upright pixels of any size.
    ///
    /// - Throws: `ClassifierError`.
    public func classify(_ pixels: Pixels) throws -> Classification {
        try run(pixels.resized(by: ModelFacts.resize))
    }

    /// Run the model on pixels of its own size.
    func run(_ pixels: Pixels) throws -> Classification {
        let input: MLFeatureProvider
        do {
            let image = MLFeatureValue(pixelBuffer: try pixels.pixelBuffer())
            input = try MLDictionaryFeatureProvider(dictionary: [ModelFacts.inputName: image])
        } catch let error as ClassifierError {
            throw error
        } catch {
            throw ClassifierError.predictionFailed(reason: error.localizedDescription)
        }
        let output = try predict(input)
        guard let found = output.featureValue(for: ModelFacts.probabilitiesName)?.dictionaryValue
        else {
            throw ClassifierError.unexpectedOutput(
                reason: "no dictionary \(ModelFacts.probabilitiesName)")
        }
        var byLabel: [String: Double] = [:]
        for (label, probability) in found {
            if let label = label as? String { byLabel[label] = probability.doubleValue }
        }
        let evidence = try output.featureValue(for: ModelFacts.evidenceName)?.multiArrayValue
            .map { try EvidenceMap($0, labels: ModelFacts.labels) }
        return try Classification(probabilities: byLabel, evidence: evidence)
    }

    private func predict(_ input: MLFeatureProvider) throws -> MLFeatureProvider {
        lock.lock()
        defer { lock.unlock() }
        do {
            return try model.prediction(from: input)
        } catch {
            throw ClassifierError.predictionFailed(reason: error.localizedDescription)
        }
    }

    /// Load from the cache; what cannot be loaded from there is compiled anew, once.
    private static func load(
        _ package: ModelPackage, at source: URL, cache: URL, _ configuration: MLModelConfiguration
    ) async throws -> MLModel {
        let files = FileManager.default
        let compiled = cache.appendingPathComponent(package.cacheName)
        if files.fileExists(atPath: compiled.path) {
            let kept = try? await MLModel.load(contentsOf: compiled, configuration: configuration)
            if let kept { return kept }
            try? files.removeItem(at: compiled)
        }
        do {
            let fresh = try await MLModel.compileModel(at: source)
            try files.createDirectory(at: cache, withIntermediateDirectories: true)
            do {
                try files.moveItem(at: fresh, to: compiled)
            } catch {
                // Another instance was faster: its model is the same, by its name.
                guard files.fileExists(atPath: compiled.path) else { throw error }
                try? files.removeItem(at: fresh)
            }
            return try await MLModel.load(contentsOf: compiled, configuration: configuration)
        } catch {
            throw ClassifierError.cannotLoad(
                path: package.path, reason: error.localizedDescription)
        }
    }

    private static func checkFeatures(of model: MLModel) throws {
        let description = model.modelDescription
        let (width, height) = (ModelFacts.resize.width, ModelFacts.resize.height)
        guard
            let image = description.inputDescriptionsByName[ModelFacts.inputName]?.imageConstraint,
            image.pixelsWide == width, image.pixelsHigh == height
        else {
            throw ClassifierError.unexpectedOutput(
                reason: "the model takes no image \(ModelFacts.inputName) of \(width) x \(height)")
        }
    }

    private static func caches() throws -> URL {
        do {
            return try FileManager.default
                .url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
                .appendingPathComponent("SqueezenetCxr", isDirectory: true)
        } catch {
            throw ClassifierError.cannotLoad(
                path: "the cache folder", reason: error.localizedDescription)
        }
    }

    static func sha256(of content: Data) -> String {
        SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined()
    }
}
#endif
