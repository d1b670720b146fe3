// swift-tools-version:5.7
import Foundation
import PackageDescription

/// The one model that goes into the app: change this line to choose another.
/// By default the smallest of those that the oldest system loads.
let model = "squeezenet_cxr_int8.mlpackage"

/// The models of this folder, each with the oldest iOS and macOS that load it.
let models: [String: (iOS: String, macOS: String)] = [
    "squeezenet_cxr_int8.mlpackage": ("16.0", "13.0"),
    "squeezenet_cxr_fp16.mlpackage": ("16.0", "13.0"),
    "squeezenet_cxr_fp32.mlpackage": ("16.0", "13.0"),
    "squeezenet_cxr_w3.mlpackage": ("18.0", "15.0"),
    "squeezenet_cxr_w4.mlpackage": ("18.0", "15.0"),
]

guard let oldest = models[model] else {
    fatalError("\(model) is none of \(models.keys.sorted())")
}

/// What lies at the root of this folder, for the targets to pick from or to leave out.
let root = try FileManager.default.contentsOfDirectory(atPath: Context.packageDirectory)
    .filter { !$0.hasPrefix(".") && $0 != "Package.swift" }
    .sorted()
let forTests = Set(models.keys).union(["golden", "Tests"])

let package = Package(
    name: "SqueezenetCxr",
    platforms: [.iOS(oldest.iOS), .macOS(oldest.macOS)],
    products: [.library(name: "SqueezenetCxr", targets: ["SqueezenetCxr"])],
    targets: [
        .target(
            name: "SqueezenetCxr",
            path: ".",
            exclude: root.filter { $0 != "Sources" && $0 != model },
            sources: ["Sources/SqueezenetCxr"],
            // Copied as it is, not compiled by Xcode: its files are checked before they are used.
            resources: [.copy(model)]
        ),
        .testTarget(
            name: "SqueezenetCxrTests",
            dependencies: ["SqueezenetCxr"],
            path: ".",
            exclude: root.filter { !forTests.contains($0) },
            sources: ["Tests/SqueezenetCxrTests"],
            resources: root.filter { forTests.contains($0) && $0 != "Tests" }.map { .copy($0) }
        ),
    ]
)
