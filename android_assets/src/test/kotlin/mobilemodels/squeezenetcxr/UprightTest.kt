package mobilemodels.squeezenetcxr

import org.junit.Assert.assertEquals
import org.junit.Test

class UprightTest {
    private val stored = PackedPixels(3, 2, intArrayOf(1, 2, 3, 4, 5, 6))

    /** Orientation -> the rows that are looked at. */
    private val upright = mapOf(
        0 to listOf(listOf(1, 2, 3), listOf(4, 5, 6)), // no such orientation: as it is stored
        1 to listOf(listOf(1, 2, 3), listOf(4, 5, 6)),
        2 to listOf(listOf(3, 2, 1), listOf(6, 5, 4)),
        3 to listOf(listOf(6, 5, 4), listOf(3, 2, 1)),
        4 to listOf(listOf(4, 5, 6), listOf(1, 2, 3)),
        5 to listOf(listOf(1, 4), listOf(2, 5), listOf(3, 6)),
        6 to listOf(listOf(4, 1), listOf(5, 2), listOf(6, 3)),
        7 to listOf(listOf(6, 3), listOf(5, 2), listOf(4, 1)),
        8 to listOf(listOf(3, 6), listOf(2, 5), listOf(1, 4)),
        9 to listOf(listOf(1, 2, 3), listOf(4, 5, 6))
    )

    @Test
    fun everyOrientationIsTurnedAsTheExifStandardSays() {
        for ((orientation, rows) in upright) {
            assertEquals("orientation $orientation", rows, rowsOf(Upright(stored, orientation)))
        }
    }

    @Test
    fun columnsAreThoseOfTheRows() {
        for (orientation in 0..9) {
            val image = Upright(stored, orientation)
            val rows = rowsOf(image)
            val line = IntArray(image.height)
            for (x in 0 until image.width) {
                image.column(x, line)
                assertEquals("orientation $orientation", rows.map { it[x] }, line.toList())
            }
        }
    }

    @Test(expected = ClassifierError.UnreadableImage::class)
    fun anEmptyImageIsRefused() {
        PackedPixels(0, 5, IntArray(0))
    }

    @Test(expected = ClassifierError.UnreadableImage::class)
    fun tooFewPixelsAreRefused() {
        PackedPixels(3, 2, IntArray(5))
    }

    private fun rowsOf(image: PixelSource): List<List<Int>> {
        val line = IntArray(image.width)
        return (0 until image.height).map { y ->
            image.row(y, line)
            line.toList()
        }
    }
}
