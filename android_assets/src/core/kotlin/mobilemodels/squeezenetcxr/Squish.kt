package mobilemodels.squeezenetcxr

/*
 * The resize rule that the model was trained by. It is written out here because no filter that
 * Android offers is the same: Bitmap.createScaledBitmap does not antialias, which changes what the
 * model sees of a large X-ray. Arithmetic follows Pillow's (`Image.resize`, BILINEAR, 8 bits) step
 * by step and gives the same bytes; the tests hold it against hashes of what Pillow made.
 */

/** Fractional bits of a weight: 8 bits of pixel and 2 of room leave 22 of an Int. */
private const val WEIGHT_BITS = 22
private const val HALF = 1 shl (WEIGHT_BITS - 1)

/** The EXIF orientation that exchanges rows and columns. */
private const val TRANSPOSED = 5

/** Reach of the triangle filter to either side, in pixels of the smaller image. */
private const val TRIANGLE_REACH = 1.0

/**
 * Squish the whole of [image] to [side] x [side]: no crop, the aspect ratio is not kept.
 *
 * Transparency is painted onto black. The filter is bilinear with antialias: a triangle that grows
 * with the reduction. It works along the rows and then along the columns, or the other way round,
 * with 8 bits between.
 *
 * @return side * side * 3 bytes: rows first, R G B each, 0 to 255. This is the model's input.
 */
fun squish(image: PixelSource, side: Int): ByteArray =
    if (columnsFirst(image, side)) {
        turned(squishRowsFirst(Upright(image, TRANSPOSED), side), side)
    } else {
        squishRowsFirst(image, side)
    }

/**
 * Whether the columns are squished before the rows, as Pillow does from version 13.0 on to save
 * time (https://github.com/python-pillow/Pillow/pull/9549). It shows in the last bit of a pixel.
 */
private fun columnsFirst(image: PixelSource, side: Int): Boolean =
    image.height > side && image.height - side > 2 * (image.width - side)

private fun squishRowsFirst(image: PixelSource, side: Int): ByteArray {
    val narrow = ByteArray(image.height * side * 3)
    val across = Triangle(image.width, side)
    val colours = IntArray(image.width)
    val channels = IntArray(image.width * 3)
    for (y in 0 until image.height) {
        image.row(y, colours)
        unpackOntoBlack(colours, channels)
        for (x in 0 until side) {
            for (channel in 0..2) {
                var sum = HALF
                for (i in 0 until across.count[x]) {
                    sum += channels[(across.first[x] + i) * 3 + channel] * across.weights[x][i]
                }
                narrow[(y * side + x) * 3 + channel] = toByte(sum)
            }
        }
    }
    val small = ByteArray(side * side * 3)
    val down = Triangle(image.height, side)
    val rowBytes = side * 3
    for (y in 0 until side) {
        for (at in 0 until rowBytes) {
            var sum = HALF
            for (i in 0 until down.count[y]) {
                val pixel = narrow[(down.first[y] + i) * rowBytes + at].toInt() and 255
                sum += pixel * down.weights[y][i]
            }
            small[y * rowBytes + at] = toByte(sum)
        }
    }
    return small
}

/** Rows as columns, of a square of RGB pixels. */
private fun turned(square: ByteArray, side: Int): ByteArray = ByteArray(square.size) {
    val pixel = it / 3
    square[(pixel % side * side + pixel / side) * 3 + it % 3]
}

/** Which of [from] pixels in a line make up each of [to], and with which weights. */
private class Triangle(from: Int, to: Int) {
    val first = IntArray(to)
    val count = IntArray(to)
    val weights: Array<IntArray>

    init {
        val scale = from.toDouble() / to
        val stretch = maxOf(scale, 1.0)
        val reach = TRIANGLE_REACH * stretch
        weights = Array(to) { i ->
            val centre = (i + 0.5) * scale
            val start = maxOf((centre - reach + 0.5).toInt(), 0)
            val end = minOf((centre + reach + 0.5).toInt(), from)
            first[i] = start
            count[i] = end - start
            fixedPoint(DoubleArray(end - start) { triangle((it + start - centre + 0.5) * (1.0 / stretch)) })
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
