package mobilemodels.squeezenetcxr

import android.content.Context
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertTrue
import org.junit.Test

/**
 * Replays the golden pack on the device, through the decoder, the preprocessing and the runtime that
 * the app uses: `./gradlew connectedDebugAndroidTest`. The message tells a preprocessing fault from a
 * fault of the model or its runtime.
 */
abstract class GoldenPackTest(private val load: (Context) -> Classifier) {

    @Test
    fun everyGoldenCaseIsAnsweredAsExpected() {
        val instrumentation = InstrumentationRegistry.getInstrumentation()
        val assets = instrumentation.context.assets // of the test, which has the golden pack
        val readFile = { path: String -> assets.open(path).use { it.readBytes() } }
        val pack = readGoldenPack(String(readFile("golden.json"), Charsets.UTF_8))
        load(instrumentation.targetContext).use { classifier ->
            val faults = pack.cases
                .map { replay(it, pack, classifier, readFile, ::readImage) }
                .filter { it !is Verdict.Pass }
            assertTrue(
                "${classifier.file.path}: ${faults.size} of ${pack.cases.size} golden cases fail\n" +
                    faults.joinToString("\n"),
                faults.isEmpty()
            )
        }
    }
}
