package mobilemodels.squeezenetcxr

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

class ResizeTest {

    /** What Pillow made of the same images when this release was published. */
    private class Proof(val width: Int, val height: Int, val sha256: String)

    private val proofs = listOf(
        Proof(1, 1, "0a3f0ee9e3cbab26f89ed53b7b20e22cb985b650fd4c52ef57e4aeb27560d773"),
        Proof(2, 3, "732ed27fc015f1444c6b9c8bbf5ac27ce75ec0f47518170be1f845612bfd3cc0"),
        Proof(7, 1, "5f202bb876573095a3b1f2b26241985a96e1bf02e41f1ffd991ba0eb859375ac"),
        Proof(63, 65, "69bbfd35a907b7457c0a5db7b0ee771a333c77c26bf0b852a5c6b23891b64c9b"),
        Proof(224, 224, "a06b03ab5aca6a7077fd3c7e36e5417ca53fdb7017aac4c4473c57a375b42c05"),
        Proof(223, 225, "bd0dc2ac524660b2ba99378844873ef58523b69c3f7b980037c47bd2499a19db"),
        Proof(225, 223, "ee69adfcbe0fac20df122b74d7aa5b2f0940334575393ffeadbb9edf1aedeb55"),
        Proof(448, 448, "52791341561a663ad7d5e4bf10530a4a58894f27d6dccfefbb9190a6c15d1a27"),
        Proof(640, 480, "2964f5baf85238b212bd82846642866b0f5268cfbf2b6f6cda0b7aa40155dff1"),
        Proof(31, 1000, "91823354fc3a6151e3e6cc8ecee72d8bbaf4b3a15de202b29500f2f6eb7bc2f3"),
        Proof(1000, 31, "87e80a6f45a9152db9dd1a1081a1ef9cb4121c8eb3c2efb06b6e4c9fce2209d9"),
        Proof(517, 389, "05fc0a18077c4c7d4bbc3bbadc6688b93f8ecb71a13425cb7ce198ae6f4190a3"),
        Proof(389, 517, "1a9e11cd70a4f9c302ad5737e629d6ffa153172faf688213ea2fdc3a80b24a90"),
        Proof(300, 560, "a4614d8afa932f7845ff7a59d66c08ff9dacd6569166272de3577220b30d4769")
    )

    @Test
    fun everySizeIsResizedToTheVeryBytesThatPillowMakes() {
        for (proof in proofs) {
            val made = resized(formulaImage(proof.width, proof.height), Model.RESIZE)
            assertEquals("${proof.width} x ${proof.height}", proof.sha256, sha256Of(made))
        }
    }

    @Test
    fun redComesFirstAndRowsComeBeforeColumns() {
        val image = PackedPixels(2, 1, intArrayOf(0xFF0A0B0C.toInt(), 0xFF646566.toInt()))
        val made = resized(image, Resize(2, 2))
        assertArrayEquals(byteArrayOf(10, 11, 12, 100, 101, 102, 10, 11, 12, 100, 101, 102), made)
    }

    @Test
    fun transparencyIsPaintedOntoBlack() {
        val image = PackedPixels(3, 1, intArrayOf(0x00FFFFFF, 0x80C86432.toInt(), 0xFFC86432.toInt()))
        val middle = resized(image, Resize(3, 3)).slice(0 until 9).map { it.toInt() and 255 }
        assertEquals(listOf(0, 0, 0, 100, 50, 25, 200, 100, 50), middle)
    }

    @Test
    fun aCropTakesTheMiddleAndAFrameIsFilledAsItSays() {
        fun grey(vararg values: Int) =
            PackedPixels(values.size, 1, values.map { it * 0x10101 or (255 shl 24) }.toIntArray())
        fun reds(bytes: ByteArray) = (bytes.indices step 3).map { bytes[it].toInt() and 255 }
        val three = grey(10, 20, 30)
        fun framed(fill: Resize.Fill) = reds(resized(three, Resize(3, 3, Resize.Mode.CENTRE, fill))).drop(3).take(3)
        for (fill in Resize.Fill.values()) {
            assertEquals(listOf(10, 20, 30), framed(fill))
        }
        assertEquals(List(9) { 20 }, reds(resized(three, Resize(3, 3, Resize.Mode.CROP))))
        val padded = Resize(3, 3, Resize.Mode.PAD, Resize.Fill.ZEROS)
        assertEquals(listOf(0, 0, 0, 10, 20, 30, 0, 0, 0), reds(resized(three, padded)))
        fun five(fill: Resize.Fill) = reds(resized(three, Resize(9, 1, Resize.Mode.CENTRE, fill)))
        assertEquals(listOf(0, 0, 0, 10, 20, 30, 0, 0, 0), five(Resize.Fill.ZEROS))
        assertEquals(listOf(10, 10, 10, 10, 20, 30, 30, 30, 30), five(Resize.Fill.BORDER))
        assertEquals(listOf(20, 30, 20, 10, 20, 30, 20, 10, 20), five(Resize.Fill.REFLECTION))
    }

    @Test
    fun anOpaqueColourIsKeptAndAClearOneIsBlack() {
        for (channel in 0..255) {
            assertEquals(channel, onBlack(channel, 255))
            assertEquals(0, onBlack(channel, 0))
        }
    }

    private fun formulaImage(width: Int, height: Int): PixelSource =
        PackedPixels(width, height, IntArray(width * height) { i ->
            // The upper 24 bits of i * 2654435761, in 32 bits.
            0xFF000000.toInt() or (i * 2654435761L.toInt() ushr 8)
        })
}
