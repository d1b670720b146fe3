package mobilemodels.squeezenetcxr

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class EvidenceTest {
    private val classes = Model.LABELS.size

    /** 2 x 2 places; the last class has 2, -4, 0 and 1 logits, the others none. */
    private val evidence = Evidence(
        classes, 2, 2,
        FloatArray((classes - 1) * 4) + floatArrayOf(2f, -4f, 0f, 1f)
    )

    @Test
    fun whatSpeaksForAClassIsWhatItHasAboveTheOthers() {
        assertArrayEquals(floatArrayOf(2f, -4f, 0f, 1f), evidence.against(classes - 1), 1e-6f)
        val share = -1f / (classes - 1)
        val first = floatArrayOf(2f * share, -4f * share, 0f, share)
        assertArrayEquals(first, evidence.against(0), 1e-6f)
    }

    @Test
    fun theHeatMapIsOrangeForVioletAgainstAndClearWhereThereIsNothing() {
        val map = evidence.heatMap(classes - 1, 2, 2)
        assertEquals(0xE66100, map[0] and 0xFFFFFF)
        assertEquals(88, map[0] ushr 24)
        assertEquals(0x5D3A9B, map[1] and 0xFFFFFF)
        assertEquals(176, map[1] ushr 24)
        assertEquals(0, map[2] ushr 24)
    }

    @Test
    fun aGivenScaleMakesTwoMapsComparable() {
        assertEquals(44, evidence.heatMap(classes - 1, 2, 2, 8f)[0] ushr 24)
        assertEquals(176, evidence.heatMap(classes - 1, 2, 2, 0.5f)[0] ushr 24)
    }

    @Test
    fun enlargingKeepsTheCornersAndMixesBetween() {
        val large = enlarge(floatArrayOf(0f, 4f), 2, 1, 4, 3)
        assertArrayEquals(floatArrayOf(0f, 1f, 3f, 4f), large.copyOfRange(0, 4), 1e-6f)
        assertArrayEquals(floatArrayOf(0f, 1f, 3f, 4f), large.copyOfRange(8, 12), 1e-6f)
    }

    @Test
    fun weakEvidenceIsNotBlownUp() {
        val weak = Evidence(classes, 1, 1, FloatArray(classes) { if (it == 0) 0.1f else 0f })
        assertTrue(weak.heatMap(0, 1, 1)[0] ushr 24 < 20)
    }

    @Test(expected = ClassifierError.UnexpectedOutput::class)
    fun evidenceOfAnotherShapeIsRefused() {
        Evidence(classes, 2, 2, FloatArray(classes * 4 + 1))
    }
}
