package mobilemodels.squeezenetcxr

/** What the replay of one golden case shows, and who is to blame. */
sealed class Verdict(val case: GoldenCase, private val what: String) {
    class Pass(case: GoldenCase) : Verdict(case, "as expected")
    class PackFault(case: GoldenCase, what: String) : Verdict(case, "GOLDEN PACK: $what")
    class PreprocessingFault(case: GoldenCase, what: String) : Verdict(case, "PREPROCESSING: $what")
    class ModelFault(case: GoldenCase, what: String) : Verdict(case, "MODEL OR RUNTIME: $what")

    override fun toString(): String = "${case.name} (${case.why}): $what"
}

/**
 * Replay one case: the exact input through the model, the image through the preprocessing, and then
 * the image the whole way. The model is tried on the exact input first, so that a difference later
 * on cannot be its own.
 *
 * @param readFile a file of the folder `golden`, by its path there
 * @param decode an encoded image to its upright pixels: `readImage` on Android
 * @param preprocess upright pixels to the model's input
 */
fun replay(
    case: GoldenCase,
    pack: GoldenPack,
    classifier: Classifier,
    readFile: (String) -> ByteArray,
    decode: (ByteArray) -> PixelSource,
    preprocess: (PixelSource) -> ByteArray = { resized(it, Model.RESIZE) }
): Verdict {
    val path = classifier.file.path
    val expected = case.probabilities[path]
        ?: return Verdict.PackFault(case, "says nothing of $path")
    val tolerance = pack.tolerances[path]
        ?: return Verdict.PackFault(case, "has no tolerance for $path")

    val exact = rgbOf(decode(readFile(case.tensor)))
    if (sha256Of(exact) != case.tensorSha256) {
        return Verdict.PackFault(case, "${case.tensor} is not decoded to the pixels it was made of")
    }
    val answer = classifier.classifyPixels(exact)
    val off = furthest(answer.probabilities, expected)
    if (!(off <= tolerance)) {
        return Verdict.ModelFault(
            case,
            "$path answers ${answer.probabilities.joinToString()} to the exact input, expected " +
                "${expected.joinToString()}: off by $off, more than $tolerance"
        )
    }

    val made = preprocess(decode(readFile(case.image)))
    val fault = pixelFault(made, exact, pack)
    if (fault != null) return Verdict.PreprocessingFault(case, fault)

    // Pixels within the tolerance may move a probability; they must not move the decision, unless
    // it hangs on the threshold by no more than the model's own tolerance.
    val wholeWay = classifier.classifyPixels(made)
    val decision = decide(FloatArray(expected.size) { expected[it].toFloat() }, Model.POSITIVE, Model.THRESHOLD)
    if (wholeWay.index != decision && !hangsOnTheThreshold(expected, tolerance)) {
        return Verdict.PreprocessingFault(
            case,
            "the image itself is decided ${wholeWay.label}, expected ${Model.LABELS[decision]}"
        )
    }
    return Verdict.Pass(case)
}

/** Why [made] is not the input [exact] within the tolerance; null: it is. */
fun pixelFault(made: ByteArray, exact: ByteArray, pack: GoldenPack): String? {
    if (made.size != exact.size) return "${made.size} bytes for an input of ${exact.size}"
    var sum = 0L
    var max = 0
    for (i in made.indices) {
        val off = Math.abs((made[i].toInt() and 255) - (exact[i].toInt() and 255))
        sum += off
        max = maxOf(max, off)
    }
    val mean = sum.toDouble() / made.size
    if (max <= pack.pixelMaxAbs && mean <= pack.pixelMeanAbs) return null
    return "pixels are off by $max at most and $mean in the mean, more than ${pack.pixelMaxAbs} and " +
        "${pack.pixelMeanAbs}" + swapped(made, exact)
}

/** The commonest mistake has a look of its own. */
private fun swapped(made: ByteArray, exact: ByteArray): String {
    val turned = ByteArray(made.size) { made[it - it % 3 + 2 - it % 3] }
    return if (turned.contentEquals(exact)) "; red and blue are exchanged" else ""
}

private fun furthest(found: FloatArray, expected: List<Double>): Double {
    var furthest = 0.0
    for (i in found.indices) furthest = maxOf(furthest, Math.abs(found[i] - expected[i]))
    return furthest
}

private fun hangsOnTheThreshold(expected: List<Double>, tolerance: Double): Boolean {
    val positive = Model.POSITIVE
    val threshold = Model.THRESHOLD
    if (positive != null && threshold != null) {
        return Math.abs(expected[positive] - threshold) <= tolerance
    }
    val ordered = expected.sortedDescending()
    return ordered.size > 1 && ordered[0] - ordered[1] <= 2 * tolerance
}

/** The pixels of an image of the input's own size, as they are. */
private fun rgbOf(image: PixelSource): ByteArray {
    val rgb = ByteArray(image.width * image.height * 3)
    val line = IntArray(image.width)
    for (y in 0 until image.height) {
        image.row(y, line)
        for (x in line.indices) {
            val at = (y * image.width + x) * 3
            rgb[at] = (line[x] shr 16).toByte()
            rgb[at + 1] = (line[x] shr 8).toByte()
            rgb[at + 2] = line[x].toByte()
        }
    }
    return rgb
}
