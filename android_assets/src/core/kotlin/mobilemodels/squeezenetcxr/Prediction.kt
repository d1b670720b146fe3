package mobilemodels.squeezenetcxr

import java.io.Closeable

/**
 * Takes an image, gives a prediction. Research only. Not a medical device; never use it for diagnosis.
 *
 * Loading and running take long enough to stay away from the main thread. Close it after use: the
 * model lies outside of the app's Java memory.
 */
interface Classifier : Closeable {

    /** The model file that was loaded. */
    val file: ModelFile

    /**
     * @param rgb the input itself: WIDTH * HEIGHT * 3 bytes, rows first, R G B each, 0 to 255
     * @throws ClassifierError
     */
    fun classifyPixels(rgb: ByteArray): Prediction

    /**
     * @param image of any size, upright
     * @throws ClassifierError
     */
    fun classify(image: PixelSource): Prediction = classifyPixels(resized(image, Model.RESIZE))
}

/**
 * What the model says of one image. Research only. Not a medical device; never use it for diagnosis.
 *
 * @property probabilities one for each of [Model.LABELS], in their order; they sum to 1
 * @property evidence where in the image the model found it; null where the model does not tell
 * @throws ClassifierError.UnexpectedOutput probabilities that are none
 */
class Prediction(val probabilities: FloatArray, val evidence: Evidence?) {

    init {
        if (probabilities.size != Model.LABELS.size) {
            throw ClassifierError.UnexpectedOutput(
                "${probabilities.size} probabilities for ${Model.LABELS.size} labels"
            )
        }
        // A sum of NaN compares as false, too.
        if (probabilities.any { !(it >= 0f && it <= 1.001f) } || !(Math.abs(probabilities.sum() - 1f) < 0.01f)) {
            throw ClassifierError.UnexpectedOutput("no probabilities: ${probabilities.joinToString()}")
        }
    }

    /** Position of [label] among [Model.LABELS]. */
    val index: Int = decide(probabilities, Model.POSITIVE, Model.THRESHOLD)

    /** The decision. */
    val label: String get() = Model.LABELS[index]

    /** Probability of [label], which by the threshold need not be the most probable one. */
    val probability: Float get() = probabilities[index]
}

/**
 * The class that the probabilities are given: with a threshold (two classes) [positive] where its
 * probability reaches it, the other one elsewhere; without, the most probable, the first on a tie.
 */
fun decide(probabilities: FloatArray, positive: Int?, threshold: Float?): Int {
    if (positive != null && threshold != null) {
        return if (probabilities[positive] >= threshold) positive else 1 - positive
    }
    var best = 0
    for (i in probabilities.indices) {
        if (probabilities[i] > probabilities[best]) best = i
    }
    return best
}
