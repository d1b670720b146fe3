package mobilemodels.squeezenetcxr

/**
 * What is known of squeezenet_cxr 3.0.1: generated from manifest.json.
 *
 * Research only. Not a medical device; never use it for diagnosis.
 *
 * Compiled in, not read at run time: labels, threshold and hashes cannot be those of another
 * release, nobody has to parse JSON on a phone, and a model file that was exchanged in the package
 * does not bring its own hash along.
 */
object Model {
    const val NAME = "squeezenet_cxr"
    const val VERSION = "3.0.1"
    const val CHECKPOINT_SHA256 = "cbb3a1205864856ae26b106ab7b9617d3aeb0d72af835a47311445a6aabf0e8a"
    const val INTENDED_USE = "Research only. Not a medical device; never use it for diagnosis."

    /** Folder of the model files among the assets of the app. */
    const val ASSET_FOLDER = "mobilemodels/squeezenet_cxr"

    /** Of the input in pixels: uint8, (1, HEIGHT, WIDTH, 3), RGB, 0 to 255. */
    const val WIDTH = 224
    const val HEIGHT = 224

    /** How an image becomes the input. */
    val RESIZE: Resize = Resize(WIDTH, HEIGHT)

    /** Name of the input in the model files. */
    const val INPUT = "image"

    /** Names of the outputs; not every model has [EVIDENCE]. */
    const val PROBS = "probs"
    const val EVIDENCE = "evidence"

    /** Class names; their order is the order of the outputs. */
    val LABELS: List<String> = listOf(
        "covid19",
        "non_covid19"
    )

    /** Position of the label that [THRESHOLD] speaks of; null: the most probable label is chosen. */
    val POSITIVE: Int? = 0

    /** Probability from which on the decision is the positive label. */
    val THRESHOLD: Float? = 0.2253f

    /** Every published model file; which of them are in the app is said in build.gradle.kts. */
    val FILES: List<ModelFile> = listOf(
        ModelFile(
            path = "squeezenet_cxr_fp32.onnx",
            sizeBytes = 921056L,
            sha256 = "0e9bd94889bbd832590cb89a5eec0f74ab6fd67cd101f98dd2f414efc71a3c54",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp16.onnx",
            sizeBytes = 458014L,
            sha256 = "a965f878aff93875656f2bcffc95f0528d0f4a520ea9683be473916e07c79bcf",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.onnx",
            sizeBytes = 252802L,
            sha256 = "c1c72cb37a7ed51372e177feeb04a6031a4f38fdf35917361c43401db0cd6f35",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_w4.onnx",
            sizeBytes = 135589L,
            sha256 = "a932c6c2bd8c1b57579c291637f07caa594b871bb0b003e614af131e3669bd71",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_w3.onnx",
            sizeBytes = 92663L,
            sha256 = "0aefbc4999d72708220b9d6a9040dfc7314a16292828cec7d6a7831a7d6df2a7",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp32.ort",
            sizeBytes = 940752L,
            sha256 = "9190efc2b90a9ec29ad83f192b485cc9ab5ced0277f52ddcdefd5f85da37ff34",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.ort",
            sizeBytes = 302288L,
            sha256 = "0bf3d5d90720a0475499d7ef6c9fc91771b8d0205ee11966a04e2744a82f4e31",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp32.ptl",
            sizeBytes = 928850L,
            sha256 = "94e635409f5cdd4bc177b82fa145436aa84af5b509acb86e60d77774dffc4639",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_fp16.ptl",
            sizeBytes = 464352L,
            sha256 = "f225c1a7225154bea695a55cb7c9f7541cd0f92116ad1538fb04598acd283d55",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.ptl",
            sizeBytes = 296488L,
            sha256 = "1741aec726c013c459c0ef85c20b45a025a048e81e060acc6f3daa9cb0c750ea",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_w4.ptl",
            sizeBytes = 142944L,
            sha256 = "3eefec74f9998060b0daeb7a62c3ffb96a3396541529c1b74e87639425730b71",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_w3.ptl",
            sizeBytes = 97376L,
            sha256 = "dec4c28e2138e0c121df55bfb62d31f2aae5067204954eefad681ba3df79a622",
            threads = 1
        )
    )
}
