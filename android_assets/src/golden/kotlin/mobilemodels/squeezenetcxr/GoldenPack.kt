package mobilemodels.squeezenetcxr

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** `golden/golden.json` cannot be used; the message says where it is wrong. */
class GoldenPackDamaged(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * Images, the exact input that each must become, and what each model file must answer.
 *
 * @property pixelMaxAbs how far one value of an input may be off: decoders of JPEG differ
 * @property pixelMeanAbs how far all of them may be off in the mean
 * @property tolerances path of a model file -> how far a probability may be off
 */
class GoldenPack(
    val cases: List<GoldenCase>,
    val pixelMaxAbs: Int,
    val pixelMeanAbs: Double,
    val tolerances: Map<String, Double>
)

/**
 * @property image path of the encoded image, in the folder `golden`
 * @property tensor path of the input as a lossless PNG, in the folder `golden`
 * @property tensorSha256 of the input's bytes: rows first, R G B each
 * @property why what this image is a hard case of
 * @property probabilities path of a model file -> its answer to the input
 */
class GoldenCase(
    val name: String,
    val image: String,
    val tensor: String,
    val tensorSha256: String,
    val why: String,
    val probabilities: Map<String, List<Double>>
)

private const val SCHEMA = 1
private const val FOLDER = "golden/"

/**
 * Read `golden/golden.json`.
 *
 * @throws GoldenPackDamaged not JSON, of another schema, of another model, or with a part missing
 */
fun readGoldenPack(json: String): GoldenPack = try {
    val root = JSONObject(json)
    expect("schema", SCHEMA, root.getInt("schema"))
    expect("model", Model.CHECKPOINT_SHA256, root.getJSONObject("model").getString("checkpoint_sha256"))
    expect("side", listOf(Model.HEIGHT, Model.WIDTH), heightAndWidth(root.get("side")))
    expect("labels", Model.LABELS, each(root.getJSONArray("labels")) { array, i -> array.getString(i) })
    val pixels = root.getJSONObject("pixel_tolerance")
    val cases = each(root.getJSONArray("cases")) { array, i -> goldenCase(array.getJSONObject(i)) }
    if (cases.isEmpty()) throw GoldenPackDamaged("golden.json has no cases: it would prove nothing")
    GoldenPack(
        cases,
        pixels.getInt("max_abs"),
        finite(pixels.getDouble("mean_abs"), "pixel_tolerance"),
        byPath(root.getJSONObject("tolerances")) { paths, path -> finite(paths.getDouble(path), path) }
    )
} catch (error: JSONException) {
    throw GoldenPackDamaged("golden.json is damaged: ${error.message}", error)
}

/** Of a square its side alone is stated. */
private fun heightAndWidth(side: Any): List<Any> =
    if (side is JSONArray) each(side) { array, i -> array.getInt(i) } else listOf(side, side)

private fun goldenCase(json: JSONObject): GoldenCase {
    val name = json.getString("name")
    return GoldenCase(
        name,
        json.getString("image").removePrefix(FOLDER),
        json.getString("tensor").removePrefix(FOLDER),
        json.getString("tensor_sha256"),
        json.getString("why"),
        byPath(json.getJSONObject("probs")) { paths, path ->
            val probs = each(paths.getJSONArray(path)) { array, i -> finite(array.getDouble(i), name) }
            expect("probs of $path in $name", Model.LABELS.size, probs.size)
            probs
        }
    )
}

private fun expect(what: String, wanted: Any, found: Any) {
    if (wanted != found) {
        throw GoldenPackDamaged("golden.json is not of this model: $what is $found, expected $wanted")
    }
}

private fun finite(number: Double, where: String): Double {
    if (number.isNaN() || number.isInfinite()) throw GoldenPackDamaged("golden.json: $where is $number")
    return number
}

private fun <T> each(array: JSONArray, read: (JSONArray, Int) -> T): List<T> =
    (0 until array.length()).map { read(array, it) }

private fun <T> byPath(paths: JSONObject, read: (JSONObject, String) -> T): Map<String, T> =
    paths.keys().asSequence().associateWith { read(paths, it) }
