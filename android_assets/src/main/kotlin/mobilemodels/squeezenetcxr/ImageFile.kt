package mobilemodels.squeezenetcxr

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import java.io.ByteArrayInputStream
import java.io.IOException

/**
 * Read an encoded image (JPEG, PNG, WebP and what else Android decodes), upright.
 *
 * @param bytes the whole file, EXIF included: a bitmap that was decoded elsewhere has lost it
 * @throws ClassifierError.UnreadableImage it is damaged, or of a format that Android does not read
 */
fun readImage(bytes: ByteArray): PixelSource {
    val options = BitmapFactory.Options()
    options.inPreferredConfig = Bitmap.Config.ARGB_8888
    options.inScaled = false
    // Colours that were multiplied by alpha come back rounded; these are painted onto black later.
    options.inPremultiplied = false
    val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
        ?: throw ClassifierError.UnreadableImage("these ${bytes.size} bytes are no image that Android reads")
    return Upright(BitmapPixels(bitmap), orientation(bytes))
}

/** The platform's own reader: it takes a stream from API 24 on, and saves a dependency. */
private fun orientation(bytes: ByteArray): Int = try {
    ExifInterface(ByteArrayInputStream(bytes))
        .getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
} catch (error: IOException) {
    ExifInterface.ORIENTATION_NORMAL // no EXIF that can be read: as it is stored
}
