package mobilemodels.squeezenetcxr

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.fail
import org.junit.Test

class PredictionTest {
    private val classes = Model.LABELS.size

    @Test
    fun theDecisionIsThePositiveLabelFromItsThresholdOn() {
        assertEquals(0, decide(floatArrayOf(0.3f, 0.7f), 0, 0.3f))
        assertEquals(1, decide(floatArrayOf(0.2999f, 0.7001f), 0, 0.3f))
        assertEquals(1, decide(floatArrayOf(0.7f, 0.3f), 1, 0.3f))
        assertEquals(0, decide(floatArrayOf(0.71f, 0.29f), 1, 0.3f))
    }

    @Test
    fun withoutAThresholdTheMostProbableLabelIsChosenTheFirstOneOnATie() {
        assertEquals(1, decide(floatArrayOf(0.2f, 0.5f, 0.3f), null, null))
        assertEquals(0, decide(floatArrayOf(0.4f, 0.4f, 0.2f), null, null))
    }

    @Test
    fun theLabelIsTheOneAtThePlaceOfItsProbability() {
        for (certain in 0 until classes) {
            val prediction = Prediction(FloatArray(classes) { if (it == certain) 1f else 0f }, null)
            assertEquals(Model.LABELS[certain], prediction.label)
            assertEquals(1f, prediction.probability, 0f)
            assertNull(prediction.evidence)
        }
    }

    @Test
    fun whatIsNoProbabilityIsRefused() {
        val even = 1f / classes
        refused(FloatArray(classes + 1) { 1f / (classes + 1) })
        refused(FloatArray(0))
        refused(FloatArray(classes) { Float.NaN })
        refused(FloatArray(classes) { if (it == 0) Float.NaN else even })
        refused(FloatArray(classes) { if (it == 0) Float.POSITIVE_INFINITY else even })
        refused(FloatArray(classes) { 2f * even })
        refused(FloatArray(classes) { if (it == 0) -1f else 2f / (classes - 1) })
    }

    private fun refused(probabilities: FloatArray) {
        try {
            Prediction(probabilities, null)
        } catch (error: ClassifierError.UnexpectedOutput) {
            return
        }
        fail("accepted: ${probabilities.joinToString()}")
    }
}
