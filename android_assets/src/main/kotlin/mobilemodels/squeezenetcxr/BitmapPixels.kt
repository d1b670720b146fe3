package mobilemodels.squeezenetcxr

import android.graphics.Bitmap
import android.os.Build

/**
 * The pixels of a bitmap, in sRGB, which is what `getPixels` converts to.
 *
 * A bitmap does not know how the camera was held: what comes from a file goes through [readImage],
 * what comes from a camera through [Upright] with the rotation that the camera tells.
 *
 * @throws ClassifierError.UnreadableImage the bitmap is recycled
 */
class BitmapPixels(bitmap: Bitmap) : PixelSource {
    private val readable: Bitmap = readable(bitmap)

    override val width: Int = readable.width
    override val height: Int = readable.height

    override fun row(y: Int, into: IntArray) {
        readable.getPixels(into, 0, width, 0, y, width, 1)
    }

    override fun column(x: Int, into: IntArray) {
        readable.getPixels(into, 0, 1, x, 0, 1, height)
    }
}

/** Classify an upright bitmap; see [Classifier.classify]. */
fun Classifier.classify(bitmap: Bitmap): Prediction = classify(BitmapPixels(bitmap))

/** [Evidence.heatMap] as a bitmap. Shows what the model reacts to; see [Model.INTENDED_USE]. */
fun Evidence.heatMapBitmap(index: Int, width: Int, height: Int, fullScale: Float? = null): Bitmap =
    Bitmap.createBitmap(heatMap(index, width, height, fullScale), width, height, Bitmap.Config.ARGB_8888)

private fun readable(bitmap: Bitmap): Bitmap {
    if (bitmap.isRecycled) {
        throw ClassifierError.UnreadableImage("the bitmap is recycled; classify it before recycle()")
    }
    // Pixels of a hardware bitmap lie in the graphics memory, where getPixels cannot read them.
    if (Build.VERSION.SDK_INT >= 26 && bitmap.config == Bitmap.Config.HARDWARE) {
        return bitmap.copy(Bitmap.Config.ARGB_8888, false)
            ?: throw ClassifierError.UnreadableImage("the hardware bitmap cannot be copied")
    }
    return bitmap
}
