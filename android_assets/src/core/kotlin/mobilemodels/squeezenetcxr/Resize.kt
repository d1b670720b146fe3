package mobilemodels.squeezenetcxr

/*
 * The resize that the model was trained by. It is written out here because no filter that
 * Android offers is the same: Bitmap.createScaledBitmap does not antialias, which changes what the
 * model sees of a large image. Arithmetic follows Pillow's (`Image.resize`, BILINEAR, 8 bits) step
 * by step and gives the same bytes; the tests hold it against hashes of what Pillow made.
 */

/** Fractional bits of a weight: 8 bits of pixel and 2 of room leave 22 of an Int. */
private const val WEIGHT_BITS = 22
private const val HALF = 1 shl (WEIGHT_BITS - 1)

/** The EXIF orientation that exchanges rows and columns. */
private const val TRANSPOSED = 5

/** Reach of the triangle filter to either side, in pixels of the smaller image. */
private const val TRIANGLE_REACH = 1.0

/** Stands for a pixel beyond the image that is black. */
private const val BLACK = -1

/**
 * How an image becomes the input, as `model.input` of manifest.json says it: [Model.RESIZE].
 *
 * @property width of the input in pixels
 * @property height likewise
 * @property margin pixels that a [Mode.SQUISH] is larger by, both ways; the middle is kept
 */
class Resize(
    val width: Int,
    val height: Int,
    val mode: Mode = Mode.SQUISH,
    val fill: Fill = Fill.ZEROS,
    val margin: Int = 0
) {
    enum class Mode {
        /** The whole image, the aspect ratio is not kept. */
        SQUISH,

        /** The largest part from the middle of the image that has the shape of the input. */
        CROP,

        /** The whole image in the middle of a frame that has the shape of the input. */
        PAD,

        /** The middle of the image, not scaled. */
        CENTRE
    }

    /** What a frame holds beyond the image. */
    enum class Fill {
        /** The image's mirror image, its outermost pixels not repeated. */
        REFLECTION,

        /** The image's outermost pixels. */
        BORDER,

        /** Black. */
        ZEROS
    }

    /**
     * Pixels that are taken of an image along an axis: [length] from [start] on, which is negative
     * where a frame begins before the image.
     */
    class Span internal constructor(val start: Int, val length: Int, internal val image: Int) {

        /** Where the pixel [at] of this span is in the image; [BLACK]: nowhere. */
        internal fun source(at: Int, fill: Fill): Int {
            val place = start + at
            return when {
                place in 0 until image -> place
                fill == Fill.ZEROS -> BLACK
                fill == Fill.BORDER || image == 1 -> maxOf(0, minOf(place, image - 1))
                else -> {
                    val period = 2 * (image - 1)
                    val along = (place % period + period) % period
                    minOf(along, period - along)
                }
            }
        }
    }

    /** What is taken of an image of this size, across. */
    fun across(imageWidth: Int, imageHeight: Int): Span = span(imageWidth, width, scale(imageWidth, imageHeight))

    /** What is taken of an image of this size, down. */
    fun down(imageWidth: Int, imageHeight: Int): Span = span(imageHeight, height, scale(imageWidth, imageHeight))

    /** Pixels of the image for one of the input, of a [Mode.CROP] or [Mode.PAD]. */
    private fun scale(imageWidth: Int, imageHeight: Int): Double {
        val across = imageWidth.toDouble() / width
        val down = imageHeight.toDouble() / height
        return if (mode == Mode.CROP) minOf(across, down) else maxOf(across, down)
    }

    private fun span(image: Int, own: Int, scale: Double): Span = when (mode) {
        Mode.SQUISH -> Span(0, image, image)
        Mode.CENTRE -> Span(image - own shr 1, own, image) // rounded down
        else -> {
            val taken = maxOf((scale * own).toInt(), 1)
            Span((image - taken) / 2, taken, image) // rounded towards zero
        }
    }
}

/**
 * Make the model's input of [image]: what the [rule] takes of it, resized.
 *
 * Transparency is painted onto black. The filter is bilinear with antialias: a triangle that grows
 * with the reduction. It works along the rows and then along the columns, or the other way round,
 * with 8 bits between.
 *
 * @return width * height * 3 bytes: rows first, R G B each, 0 to 255
 */
fun resized(image: PixelSource, rule: Resize): ByteArray {
    val across = Taps(rule.across(image.width, image.height), rule.width, rule)
    val down = Taps(rule.down(image.width, image.height), rule.height, rule)
    return if (columnsFirst(across, down)) {
        turned(rowsFirst(Upright(image, TRANSPOSED), down, across), rule.height, rule.width)
    } else {
        rowsFirst(image, across, down)
    }
}

/**
 * Whether the columns are resized before the rows, as Pillow does from version 13.0 on to save
 * time (https://github.com/python-pillow/Pillow/pull/9549). It shows in the last bit of a pixel.
 */
private fun columnsFirst(across: Taps, down: Taps): Boolean =
    down.from > down.to && down.from - down.to > 2 * (across.from - across.to)

private fun rowsFirst(image: PixelSource, across: Taps, down: Taps): ByteArray {
    val rowBytes = across.places.size * 3
    val narrow = ByteArray((down.end - down.first) * rowBytes)
    val colours = IntArray(image.width)
    val channels = IntArray(image.width * 3)
    for (y in down.first until down.end) {
        image.row(y, colours)
        unpackOntoBlack(colours, channels)
        for (x in across.places.indices) {
            val places = across.places[x]
            val weights = across.weights[x]
            for (channel in 0..2) {
                var sum = HALF
                for (i in places.indices) {
                    sum += channels[places[i] * 3 + channel] * weights[i]
                }
                narrow[(y - down.first) * rowBytes + x * 3 + channel] = toByte(sum)
            }
        }
    }
    val small = ByteArray(down.places.size * rowBytes)
    for (y in down.places.indices) {
        val places = down.places[y]
        val weights = down.weights[y]
        for (at in 0 until rowBytes) {
            var sum = HALF
            for (i in places.indices) {
                val pixel = narrow[(places[i] - down.first) * rowBytes + at].toInt() and 255
                sum += pixel * weights[i]
            }
            small[y * rowBytes + at] = toByte(sum)
        }
    }
    return small
}

/** Rows as columns, of RGB pixels [width] wide and [height] high. */
private fun turned(pixels: ByteArray, width: Int, height: Int): ByteArray = ByteArray(pixels.size) {
    val pixel = it / 3
    pixels[(pixel % height * width + pixel / height) * 3 + it % 3]
}

/** Which pixels of an image make up each of the input along an axis, and with which weights. */
private class Taps(span: Resize.Span, own: Int, rule: Resize) {
    /** Lengths before and after the filter; of what comes after, [own] from the middle are kept. */
    val from = span.length
    val to = own + rule.margin

    /** By pixel of the input: where in the image, without what is black there; and how much. */
    val places: Array<IntArray>
    val weights: Array<IntArray>

    /** The first pixel of the image that is taken, and the one after the last. */
    val first = maxOf(span.start, 0)
    val end = minOf(span.start + span.length, span.image)

    init {
        val scale = from.toDouble() / to
        val stretch = maxOf(scale, 1.0)
        val reach = TRIANGLE_REACH * stretch
        val weighed = Array(own) { at ->
            val centre = (at + rule.margin / 2 + 0.5) * scale
            val start = maxOf((centre - reach + 0.5).toInt(), 0)
            val stop = minOf((centre + reach + 0.5).toInt(), from)
            val raw = DoubleArray(stop - start) { triangle((it + start - centre + 0.5) * (1.0 / stretch)) }
            val sources = IntArray(stop - start) { span.source(it + start, rule.fill) }
            Pair(sources, fixedPoint(raw))
        }
        places = Array(own) { at -> weighed[at].first.filter { it != BLACK }.toIntArray() }
        weights = Array(own) { at ->
            val (sources, shares) = weighed[at]
            shares.filterIndexed { i, _ -> sources[i] != BLACK }.toIntArray()
        }
    }

    private fun triangle(distance: Double): Double = maxOf(1.0 - Math.abs(distance), 0.0)

    private fun fixedPoint(raw: DoubleArray): IntArray {
        var sum = 0.0
        for (weight in raw) sum += weight
        return IntArray(raw.size) { (0.5 + raw[it] / sum * (1 shl WEIGHT_BITS)).toInt() }
    }
}

private fun toByte(sum: Int): Byte = minOf(sum shr WEIGHT_BITS, 255).toByte()

private fun unpackOntoBlack(colours: IntArray, channels: IntArray) {
    for (i in colours.indices) {
        val colour = colours[i]
        val alpha = colour ushr 24
        channels[3 * i] = onBlack((colour shr 16) and 255, alpha)
        channels[3 * i + 1] = onBlack((colour shr 8) and 255, alpha)
        channels[3 * i + 2] = onBlack(colour and 255, alpha)
    }
}

/** A channel painted onto black, in the fixed point and with the rounding of Pillow's `alpha_composite`. */
internal fun onBlack(channel: Int, alpha: Int): Int {
    val scaled = (channel * alpha shl 7) + (128 shl 7)
    return ((scaled shr 8) + scaled shr 8) shr 7
}
