package mobilemodels.squeezenetcxr

import java.io.File
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assert.fail
import org.junit.Assume.assumeTrue
import org.junit.Test

/** The reading and the verdicts of the golden pack, on a made-up pack and a made-up model. */
class GoldenPackUnitTest {
    private val file = Model.FILES.first()

    /** The made-up model decides by the mean of the red pixels. */
    private class RedClassifier(private val error: Float = 0f) : Classifier {
        override val file = Model.FILES.first()

        override fun classifyPixels(rgb: ByteArray): Prediction {
            var red = 0L
            for (i in rgb.indices step 3) red += rgb[i].toInt() and 255
            val first = red.toFloat() / (rgb.size / 3) / 255f * 0.9f + error
            val rest = (1f - first) / (Model.LABELS.size - 1)
            return Prediction(FloatArray(Model.LABELS.size) { if (it == 0) first else rest }, null)
        }

        override fun close() = Unit
    }

    /** An orange image of the input's size: what is decoded of "image.png" and of "tensor.png". */
    private val image =
        PackedPixels(Model.WIDTH, Model.HEIGHT, IntArray(Model.WIDTH * Model.HEIGHT) { 0xFFF08010.toInt() })
    private val exact = resized(image, Model.RESIZE)

    private fun document(): JSONObject {
        val answer = RedClassifier().classifyPixels(exact).probabilities
        val probs = JSONArray()
        for (probability in answer) probs.put(probability.toDouble())
        val case = JSONObject()
            .put("name", "orange").put("why", "a colour whose channels differ")
            .put("image", "golden/images/orange.png").put("tensor", "golden/tensors/orange.png")
            .put("tensor_sha256", sha256Of(exact))
            .put("probs", JSONObject().put(file.path, probs))
        val labels = JSONArray()
        for (label in Model.LABELS) labels.put(label)
        return JSONObject()
            .put("schema", 1).put("side", JSONArray().put(Model.HEIGHT).put(Model.WIDTH)).put("labels", labels)
            .put("model", JSONObject().put("checkpoint_sha256", Model.CHECKPOINT_SHA256))
            .put("cases", JSONArray().put(case))
            .put("tolerances", JSONObject().put(file.path, 0.001))
            .put("pixel_tolerance", JSONObject().put("max_abs", 2).put("mean_abs", 0.5))
    }

    private fun verdict(
        classifier: Classifier = RedClassifier(),
        decoded: PixelSource = image,
        preprocess: (PixelSource) -> ByteArray = { resized(it, Model.RESIZE) },
        json: JSONObject = document()
    ): Verdict {
        val pack = readGoldenPack(json.toString())
        return replay(
            pack.cases.single(),
            pack,
            classifier,
            { path -> path.toByteArray() },
            { bytes -> if (String(bytes) == "tensors/orange.png") image else decoded },
            preprocess
        )
    }

    @Test
    fun aWrapperThatDoesAllRightPasses() {
        val found = verdict()
        assertTrue(found.toString(), found is Verdict.Pass)
    }

    @Test
    fun everyPreprocessingMistakeIsToldApartFromAModelFault() {
        val mistakes = mapOf<String, (PixelSource) -> ByteArray>(
            "red and blue exchanged" to { _ -> ByteArray(exact.size) { exact[it - it % 3 + 2 - it % 3] } },
            "divided by 255" to { _ -> ByteArray(exact.size) },
            "a value off by three" to { _ -> exact.copyOf().also { it[5] = (it[5] + 3).toByte() } },
            "all off by one" to { _ -> ByteArray(exact.size) { (exact[it] + 1).toByte() } },
            "cut short" to { _ -> exact.copyOf(exact.size - 3) }
        )
        for ((mistake, preprocess) in mistakes) {
            val found = verdict(preprocess = preprocess)
            assertTrue("$mistake: $found", found is Verdict.PreprocessingFault)
            assertEquals(mistake, "exchanged" in mistake, "red and blue are exchanged" in found.toString())
        }
        val dark = PackedPixels(3, 3, IntArray(9) { 0xFF000000.toInt() })
        assertTrue(verdict(decoded = dark) is Verdict.PreprocessingFault)
    }

    @Test
    fun pixelsWithinTheToleranceOfADecoderPass() {
        assertTrue(verdict(preprocess = { exact.copyOf().also { it[5] = (it[5] + 2).toByte() } }) is Verdict.Pass)
    }

    @Test
    fun aModelFaultIsOneEvenWhereThePreprocessingIsWrongAsWell() {
        val found = verdict(RedClassifier(error = 0.01f), preprocess = { ByteArray(exact.size) })
        assertTrue(found.toString(), found is Verdict.ModelFault)
    }

    @Test
    fun aTensorThatIsDecodedToOtherPixelsIsAFaultOfThePack() {
        val json = document()
        json.getJSONArray("cases").getJSONObject(0).put("tensor_sha256", "0".repeat(64))
        assertTrue(verdict(json = json) is Verdict.PackFault)
    }

    @Test
    fun aPackWithoutAWordOfTheModelFileIsAFaultOfThePack() {
        val noTolerance = document().put("tolerances", JSONObject())
        assertTrue(verdict(json = noTolerance) is Verdict.PackFault)
        val noProbs = document()
        noProbs.getJSONArray("cases").getJSONObject(0).put("probs", JSONObject())
        assertTrue(verdict(json = noProbs) is Verdict.PackFault)
    }

    @Test
    fun aDamagedPackIsToldWithItsPlace() {
        refused("{", "")
        refused("[]", "")
        refused(document().put("schema", 2), "schema")
        refused(document().put("side", Model.HEIGHT + 1), "side")
        refused(document().put("labels", JSONArray().put("other")), "labels")
        refused(document().put("model", JSONObject().put("checkpoint_sha256", "other")), "model")
        refused(document().put("cases", JSONArray()), "cases")
        for (part in listOf("schema", "side", "labels", "model", "cases", "tolerances", "pixel_tolerance")) {
            val json = document()
            json.remove(part)
            refused(json, part)
        }
        for (part in listOf("name", "image", "tensor", "tensor_sha256", "why", "probs")) {
            val json = document()
            json.getJSONArray("cases").getJSONObject(0).remove(part)
            refused(json, part)
        }
        val short = document()
        short.getJSONArray("cases").getJSONObject(0).put("probs", JSONObject().put(file.path, JSONArray()))
        refused(short, "probs")
    }

    @Test
    fun thePackBesideThisCodeIsOfThisModel() {
        val folder = File(System.getProperty("module.folder", "."))
        val golden = File(folder, "golden/golden.json")
        assumeTrue("no golden pack in this folder", golden.isFile)
        val pack = readGoldenPack(golden.readText())
        for (case in pack.cases) {
            assertTrue(case.image, File(folder, "golden/" + case.image).isFile)
            assertTrue(case.tensor, File(folder, "golden/" + case.tensor).isFile)
            for (model in Model.FILES) {
                assertTrue(model.path, model.path in case.probabilities && model.path in pack.tolerances)
            }
        }
    }

    private fun refused(json: Any, place: String) {
        try {
            readGoldenPack(json.toString())
        } catch (error: GoldenPackDamaged) {
            assertTrue(error.toString(), place in error.toString())
            return
        }
        fail("accepted: $json")
    }
}
