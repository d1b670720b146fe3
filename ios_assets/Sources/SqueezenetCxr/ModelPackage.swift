import Foundation

/// One file of a model, as it was released.
public struct ModelFile: Equatable, Sendable {
    /// Relative to the folder that holds the model, with forward slashes.
    public let path: String
    public let sizeBytes: Int
    /// In lower-case hexadecimal.
    public let sha256: String
}

/// A Core ML model (`.mlpackage`, a folder of files) and the hashes that its files must have.
public struct ModelPackage: Equatable, Sendable {
    public let path: String
    public let precision: String
    public let oldestIOS: String
    public let oldestMacOS: String
    public let files: [ModelFile]

    /// A name that changes with any byte of the model: for its compiled form in the cache.
    public var cacheName: String {
        let stem = (path as NSString).deletingPathExtension
        let hashes = files.map { String($0.sha256.prefix(16)) }
        return ([stem] + hashes).joined(separator: "-") + ".mlmodelc"
    }

    /// The first of `packages` that lies in `folder`: the one that Package.swift put there.
    static func bundled(in folder: URL, of packages: [ModelPackage]) throws -> ModelPackage {
        for package in packages {
            let place = folder.appendingPathComponent(package.path).path
            if FileManager.default.fileExists(atPath: place) { return package }
        }
        throw ClassifierError.noModel(folder: folder.path, known: packages.map(\.path))
    }

    /// Make sure that the files in `folder` are, byte for byte, those that were released.
    ///
    /// Files of the model that the release does not list are not looked at: Core ML's own
    /// Manifest.json, which is checked, says which are used.
    ///
    /// - Parameter sha256: the hash of some bytes, in lower-case hexadecimal.
    /// - Throws: `ClassifierError.missingFile` or `.changedFile`.
    func check(in folder: URL, sha256: (Data) -> String) throws {
        for file in files {
            let place = folder.appendingPathComponent(file.path)
            guard let content = try? Data(contentsOf: place, options: .mappedIfSafe) else {
                throw ClassifierError.missingFile(path: file.path)
            }
            let found = sha256(content)
            guard content.count == file.sizeBytes, found == file.sha256 else {
                throw ClassifierError.changedFile(
                    path: file.path, expected: file.sha256, found: found)
            }
        }
    }
}
