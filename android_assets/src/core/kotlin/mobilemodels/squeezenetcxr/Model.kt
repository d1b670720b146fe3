package mobilemodels.squeezenetcxr

/**
 * What is known of squeezenet_cxr 3.0.0: generated from manifest.json.
 *
 * Research only. Not a medical device; never use it for diagnosis.
 *
 * Compiled in, not read at run time: labels, threshold and hashes cannot be those of another
 * release, nobody has to parse JSON on a phone, and a model file that was exchanged in the package
 * does not bring its own hash along.
 */
object Model {
    const val NAME = "squeezenet_cxr"
    const val VERSION = "3.0.0"
    const val CHECKPOINT_SHA256 = "deb052851de1f9a69a84dbb82c17cd276b7149913f6d3a5a7489c622833bdc79"
    const val INTENDED_USE = "Research only. Not a medical device; never use it for diagnosis."

    /** Folder of the model files among the assets of the app. */
    const val ASSET_FOLDER = "mobilemodels/squeezenet_cxr"

    /** Width and height of the input in pixels: uint8, (1, SIDE, SIDE, 3), RGB, 0 to 255. */
    const val SIDE = 224

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
            sha256 = "40b7fa4282be489771c7ac8c50194c782a1c6b4128198956bfa242f2a1096300",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp16.onnx",
            sizeBytes = 458014L,
            sha256 = "cfa3df6396c940e35a39b8072033beb2c10a5f3b4986ca18e7f6c92036e5e2a3",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.onnx",
            sizeBytes = 252802L,
            sha256 = "608b49e1622a701a0252e36b287d0feef02db3bddf11e221805ce1b8c3f8e2d9",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_w4.onnx",
            sizeBytes = 135589L,
            sha256 = "7fb335302c3a93590345f836287ea3f9bfb6bf30a2bd0ade9d872a77e171baa1",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_w3.onnx",
            sizeBytes = 92663L,
            sha256 = "f595e7ab761ce827719fcfcbd9b07da9349fd722c1587ac709a043140b70f5e2",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp32.ort",
            sizeBytes = 940752L,
            sha256 = "fc072a4698f57002f7113fca28a1a0360bf5e8eff2a43c4a8c06ac5d0912eadd",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.ort",
            sizeBytes = 302288L,
            sha256 = "d47a59a451482b59c8573e9d1026aebb01ae79667e174fee255453eb70e2b540",
            threads = 2
        ),
        ModelFile(
            path = "squeezenet_cxr_fp32.ptl",
            sizeBytes = 928338L,
            sha256 = "6df5af85046c560e03c15363de491fd314575a6f71c065c810b69945bdfbc865",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_fp16.ptl",
            sizeBytes = 464416L,
            sha256 = "8b20c2f6f30a0e109b5b60b44ab5393157873a6c39403825d090a9cf91bb8850",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_int8.ptl",
            sizeBytes = 296488L,
            sha256 = "9b8a6815f4f6713f0c7cbc2bb876f6fd43f590ed86e273d67ce081a3ae4d68e1",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_w4.ptl",
            sizeBytes = 143008L,
            sha256 = "82aebb9e52c9a85dab792d30afa165c3afda4f1842f7ed8a835985c37e0f679e",
            threads = 1
        ),
        ModelFile(
            path = "squeezenet_cxr_w3.ptl",
            sizeBytes = 97440L,
            sha256 = "692e2574f1e1bb60227b0ef7c9b198be1f38719c17395afd48cc388953ee5da8",
            threads = 1
        )
    )
}
