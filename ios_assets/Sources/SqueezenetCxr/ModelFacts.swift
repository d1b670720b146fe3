// Made from manifest.json by `python -m export all`: do not edit.

/// What this release of the model is: every fact that the rest of the code asks for.
///
/// Research only. Not a medical device; never use it for diagnosis.
public enum ModelFacts {
    public static let name = "squeezenet_cxr"
    public static let version = "3.0.1"

    /// To be shown wherever a result is shown.
    public static let intendedUse = "Research only. Not a medical device; never use it for diagnosis."

    /// Class names in the order of the probabilities.
    public static let labels: [String] = [
        "covid19",
        "non_covid19",
    ]

    /// The place in `labels` of the label that `threshold` speaks of; nil: the most probable wins.
    public static let positive: Int? = 0

    /// The probability of the positive label from which on it is the decision.
    public static let threshold: Float? = 0.2253

    /// How an image becomes what the model takes, and the size of that in pixels.
    public static let resize = Resize(width: 224, height: 224)

    /// Names of the model's features.
    static let inputName = "image"
    static let probabilitiesName = "probs"
    static let evidenceName = "evidence"

    /// Every Core ML model of the release, the one that Package.swift takes by default first.
    public static let packages: [ModelPackage] = [
        ModelPackage(
            path: "squeezenet_cxr_int8.mlpackage",
            precision: "int8",
            oldestIOS: "16.0",
            oldestMacOS: "13.0",
            files: [
                ModelFile(
                    path: "squeezenet_cxr_int8.mlpackage/Data/com.apple.CoreML/model.mlmodel",
                    sizeBytes: 36913,
                    sha256: "8902455804de95c5e953a2dc4de2fde95c0a2c9f87bb3ef7b7a78327bfc1e726"
                ),
                ModelFile(
                    path: "squeezenet_cxr_int8.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    sizeBytes: 234690,
                    sha256: "b8073f27840c405c0e53359f50c372d6fb3cfc11869752f30957e14c104f1d7d"
                ),
                ModelFile(
                    path: "squeezenet_cxr_int8.mlpackage/Manifest.json",
                    sizeBytes: 617,
                    sha256: "839755aa656c238b69694ccf7cdbdf2c359bc1a903941f5a89006980b0110980"
                ),
            ]
        ),
        ModelPackage(
            path: "squeezenet_cxr_fp16.mlpackage",
            precision: "fp16",
            oldestIOS: "16.0",
            oldestMacOS: "13.0",
            files: [
                ModelFile(
                    path: "squeezenet_cxr_fp16.mlpackage/Data/com.apple.CoreML/model.mlmodel",
                    sizeBytes: 34232,
                    sha256: "6f002cc392daa07685bd2d9726de03f7a07dc4cfc449cc1ec60abfa1232ab104"
                ),
                ModelFile(
                    path: "squeezenet_cxr_fp16.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    sizeBytes: 454400,
                    sha256: "151bb0e903db1437a2be47bc0ac5d854d623b876a8a6fd3bd89b8c78d1ff6f84"
                ),
                ModelFile(
                    path: "squeezenet_cxr_fp16.mlpackage/Manifest.json",
                    sizeBytes: 617,
                    sha256: "839755aa656c238b69694ccf7cdbdf2c359bc1a903941f5a89006980b0110980"
                ),
            ]
        ),
        ModelPackage(
            path: "squeezenet_cxr_fp32.mlpackage",
            precision: "fp32",
            oldestIOS: "16.0",
            oldestMacOS: "13.0",
            files: [
                ModelFile(
                    path: "squeezenet_cxr_fp32.mlpackage/Data/com.apple.CoreML/model.mlmodel",
                    sizeBytes: 30984,
                    sha256: "1b2225b5e81aaa7634e8204bbb1bdedae8f5b257212a59f8ac65e7c399662bf3"
                ),
                ModelFile(
                    path: "squeezenet_cxr_fp32.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    sizeBytes: 906432,
                    sha256: "bdbdef739b74dd549fcb5769765ecc1d84f9768e0ddcb927c4d0e780fc81a313"
                ),
                ModelFile(
                    path: "squeezenet_cxr_fp32.mlpackage/Manifest.json",
                    sizeBytes: 617,
                    sha256: "839755aa656c238b69694ccf7cdbdf2c359bc1a903941f5a89006980b0110980"
                ),
            ]
        ),
        ModelPackage(
            path: "squeezenet_cxr_w3.mlpackage",
            precision: "w3",
            oldestIOS: "18.0",
            oldestMacOS: "15.0",
            files: [
                ModelFile(
                    path: "squeezenet_cxr_w3.mlpackage/Data/com.apple.CoreML/model.mlmodel",
                    sizeBytes: 17424,
                    sha256: "828bb712c50386110d9130e77b5ae4777fd013e2cd4fca9a46d51ce4542b8edb"
                ),
                ModelFile(
                    path: "squeezenet_cxr_w3.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    sizeBytes: 84992,
                    sha256: "3b166323e9365794c398f5ba424d11f0a80c377066f1e4d342ab40d53af4b382"
                ),
                ModelFile(
                    path: "squeezenet_cxr_w3.mlpackage/Manifest.json",
                    sizeBytes: 617,
                    sha256: "839755aa656c238b69694ccf7cdbdf2c359bc1a903941f5a89006980b0110980"
                ),
            ]
        ),
        ModelPackage(
            path: "squeezenet_cxr_w4.mlpackage",
            precision: "w4",
            oldestIOS: "18.0",
            oldestMacOS: "15.0",
            files: [
                ModelFile(
                    path: "squeezenet_cxr_w4.mlpackage/Data/com.apple.CoreML/model.mlmodel",
                    sizeBytes: 16951,
                    sha256: "0421b90d31930600566dbc2e711ea3c84159be8380c560ff8cc560d25ba0260f"
                ),
                ModelFile(
                    path: "squeezenet_cxr_w4.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
                    sizeBytes: 123456,
                    sha256: "2908b0f0257b0b1dceccd58916874d01d453c40247dd3fb8cae7584fc98877ab"
                ),
                ModelFile(
                    path: "squeezenet_cxr_w4.mlpackage/Manifest.json",
                    sizeBytes: 617,
                    sha256: "839755aa656c238b69694ccf7cdbdf2c359bc1a903941f5a89006980b0110980"
                ),
            ]
        ),
    ]
}
