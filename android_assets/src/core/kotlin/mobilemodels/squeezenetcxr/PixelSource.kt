package mobilemodels.squeezenetcxr

/**
 * An image that is read a line at a time, so that a photograph of 12 megapixels need not lie in
 * the app's memory a second and a third time.
 */
interface PixelSource {
    val width: Int
    val height: Int

    /** Row [y], from left to right: [width] ARGB colours, alpha not multiplied in. */
    fun row(y: Int, into: IntArray)

    /** Column [x], from top to bottom: [height] ARGB colours, alpha not multiplied in. */
    fun column(x: Int, into: IntArray)
}

/** Pixels in an array: row by row, ARGB, as `android.graphics.Bitmap.getPixels` gives them. */
class PackedPixels(
    override val width: Int,
    override val height: Int,
    private val argb: IntArray
) : PixelSource {

    init {
        if (width < 1 || height < 1 || argb.size.toLong() != width.toLong() * height) {
            throw ClassifierError.UnreadableImage("${argb.size} pixels are no image of $width x $height")
        }
    }

    override fun row(y: Int, into: IntArray) {
        System.arraycopy(argb, y * width, into, 0, width)
    }

    override fun column(x: Int, into: IntArray) {
        for (y in 0 until height) {
            into[y] = argb[y * width + x]
        }
    }
}

/**
 * The image as it is to be looked at: [stored], turned by the EXIF [orientation] (1 to 8).
 *
 * Any other value leaves it as it is. The numbers are those of the EXIF standard, CIPA DC-008,
 * tag 274, and of `android.media.ExifInterface`.
 */
class Upright(private val stored: PixelSource, orientation: Int) : PixelSource {
    private val turned = orientation in 5..8
    private val linesFromTheEnd = orientation in listOf(3, 4, 7, 8)
    private val lineReversed = orientation in listOf(2, 3, 6, 7)

    override val width = if (turned) stored.height else stored.width
    override val height = if (turned) stored.width else stored.height

    override fun row(y: Int, into: IntArray) {
        val line = if (linesFromTheEnd) height - 1 - y else y
        if (turned) stored.column(line, into) else stored.row(line, into)
        if (lineReversed) reverse(into, width)
    }

    override fun column(x: Int, into: IntArray) {
        val line = if (lineReversed) width - 1 - x else x
        if (turned) stored.row(line, into) else stored.column(line, into)
        if (linesFromTheEnd) reverse(into, height)
    }

    private fun reverse(line: IntArray, length: Int) {
        for (i in 0 until length / 2) {
            val other = length - 1 - i
            val kept = line[i]
            line[i] = line[other]
            line[other] = kept
        }
    }
}
