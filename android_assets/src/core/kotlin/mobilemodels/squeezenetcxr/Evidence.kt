package mobilemodels.squeezenetcxr

/** Colours of the heat map; told apart by people who do not tell red from green. */
private const val SPEAKS_FOR = 0xE66100
private const val SPEAKS_AGAINST = 0x5D3A9B
private const val OPAQUE_AT_MOST = 176

/** Below this many logits nothing is worth a full colour: noise is not blown up. */
private const val LEAST_FULL_SCALE = 1f

/**
 * The class activation map before pooling: what each place of the image adds to each class, in
 * logits. Its mean over all places is the logit of the class.
 *
 * It shows what the model reacts to, be that a mark at the edge of the image. It is no map of
 * lesions. Research only. Not a medical device; never use it for diagnosis.
 *
 * @property values classes * height * width numbers: a map for each class, row by row
 */
class Evidence(val classes: Int, val height: Int, val width: Int, val values: FloatArray) {

    init {
        if (classes != Model.LABELS.size || height < 1 || width < 1 || values.size != classes * height * width) {
            throw ClassifierError.UnexpectedOutput(
                "evidence of ${values.size} numbers as $classes x $height x $width"
            )
        }
    }

    /**
     * What speaks for class [index] and not as much for the others: its map less the mean of theirs,
     * since a probability depends on differences of logits alone. Row by row.
     */
    fun against(index: Int): FloatArray {
        val area = height * width
        return FloatArray(area) { at ->
            var others = 0f
            for (i in 0 until classes) {
                if (i != index) others += values[i * area + at]
            }
            values[index * area + at] - (if (classes > 1) others / (classes - 1) else 0f)
        }
    }

    /**
     * A picture to lay over what the model was given of the image ([Model.RESIZE]: [Resize.across] and
     * [Resize.down], without [Resize.margin]), stretched to its shape: orange speaks for class
     * [index], violet against it, clear is neither.
     *
     * @param fullScale logits of the strongest colour; null: the largest of this map. Give a number
     *     to make the pictures of two images comparable.
     * @return mapWidth * mapHeight ARGB colours, row by row
     */
    fun heatMap(index: Int, mapWidth: Int, mapHeight: Int, fullScale: Float? = null): IntArray {
        val map = against(index)
        var full = LEAST_FULL_SCALE
        for (value in map) full = maxOf(full, Math.abs(value))
        val large = enlarge(map, width, height, mapWidth, mapHeight)
        return IntArray(large.size) { colour(large[it], fullScale ?: full) }
    }
}

/** Bilinear enlargement; centres of pixels at halves, as in the resize rule; edges go on as they are. */
internal fun enlarge(map: FloatArray, width: Int, height: Int, toWidth: Int, toHeight: Int): FloatArray {
    val large = FloatArray(toWidth * toHeight)
    for (y in 0 until toHeight) {
        val inY = ((y + 0.5f) * height / toHeight - 0.5f).coerceIn(0f, height - 1f)
        val top = inY.toInt()
        val bottom = minOf(top + 1, height - 1)
        for (x in 0 until toWidth) {
            val inX = ((x + 0.5f) * width / toWidth - 0.5f).coerceIn(0f, width - 1f)
            val left = inX.toInt()
            val right = minOf(left + 1, width - 1)
            val above = mix(map[top * width + left], map[top * width + right], inX - left)
            val below = mix(map[bottom * width + left], map[bottom * width + right], inX - left)
            large[y * toWidth + x] = mix(above, below, inY - top)
        }
    }
    return large
}

private fun mix(one: Float, other: Float, share: Float): Float = one + (other - one) * share

private fun colour(value: Float, fullScale: Float): Int {
    val strength = minOf(Math.abs(value) / fullScale, 1f)
    val alpha = Math.round(strength * OPAQUE_AT_MOST)
    return (alpha shl 24) or (if (value < 0f) SPEAKS_AGAINST else SPEAKS_FOR)
}
