package mobilemodels.squeezenetcxr

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assert.fail
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class ModelFileTest {

    @get:Rule
    val storage = TemporaryFolder()

    private val bytes = ByteArray(1000) { (it * 7).toByte() }
    private val model = ModelFile("some.ptl", 1000L, sha256Of(bytes), 1)

    @Test
    fun theHashIsTheOneOfTheStandard() {
        // FIPS 180-4, example of one block: "abc".
        assertEquals(
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            sha256Of(byteArrayOf(97, 98, 99))
        )
    }

    @Test
    fun thePublishedBytesPass() {
        model.check(bytes)
    }

    @Test
    fun anyChangedByteIsFound() {
        for (at in listOf(0, 499, 999)) {
            val changed = bytes.copyOf()
            changed[at] = (changed[at] + 1).toByte()
            refused(changed)
        }
        refused(bytes.copyOf(999))
        refused(ByteArray(0))
    }

    @Test
    fun theModelFilesBesideThisCodeAreThePublishedOnes() {
        // The folder of the module, as Gradle runs unit tests; elsewhere it is told.
        val folder = File(System.getProperty("module.folder", "."))
        for (file in Model.FILES) {
            file.check(File(folder, file.path).readBytes())
        }
    }

    @Test
    fun theFirstPackagedFileThatTheRuntimeLoadsIsChosen() {
        val first = Model.FILES.first()
        val suffix = first.path.substring(first.path.lastIndexOf('.'))
        assertEquals(first, chooseModelFile(Model.FILES.map { it.path }, listOf(suffix), null))
        assertEquals(first, chooseModelFile(listOf(first.path, "other"), listOf(suffix), first.path))
    }

    @Test
    fun aFileThatIsNotPackagedOrNotOfTheRuntimeIsMissing() {
        val first = Model.FILES.first().path
        for ((packaged, suffix) in listOf(emptyList<String>() to "", listOf(first) to ".other")) {
            try {
                chooseModelFile(packaged, listOf(suffix), first)
                fail("chosen among $packaged")
            } catch (error: ClassifierError.ModelFileMissing) {
                assertTrue(error.toString(), first in error.toString())
            }
        }
    }

    @Test
    fun aCopyIsNamedByItsHashAndWhole() {
        val copy = hashNamedFile(bytes, model, File(storage.root, "models/deep"))
        assertEquals(model.sha256 + ".ptl", copy.name)
        assertEquals(model.sha256, sha256Of(copy.readBytes()))
        assertEquals(listOf(copy.name), copy.parentFile.list()!!.toList())
    }

    @Test
    fun aDamagedCopyIsReplaced() {
        val copy = hashNamedFile(bytes, model, storage.root)
        copy.writeBytes(ByteArray(1000))
        assertEquals(model.sha256, sha256Of(hashNamedFile(bytes, model, storage.root).readBytes()))
    }

    @Test
    fun aGoodCopyIsNotWrittenAgain() {
        val copy = hashNamedFile(bytes, model, storage.root)
        assertTrue(copy.setLastModified(1000000000L))
        hashNamedFile(bytes, model, storage.root)
        assertEquals(1000000000L, copy.lastModified())
    }

    @Test
    fun copiesOfEarlierReleasesAreRemoved() {
        File(storage.root, "0".repeat(64) + ".ptl").writeBytes(bytes)
        val abandoned = File(storage.root, "abandoned.part")
        abandoned.writeBytes(bytes)
        assertTrue(abandoned.setLastModified(1000000000L))
        val inWork = File(storage.root, "written.at.this.moment.part")
        inWork.writeBytes(bytes)
        val copy = hashNamedFile(bytes, model, storage.root)
        assertEquals(setOf(copy.name, inWork.name), storage.root.list()!!.toSet())
    }

    @Test
    fun aChangedModelLeavesNoCopy() {
        try {
            hashNamedFile(ByteArray(1000), model, storage.root)
            fail("a changed model was copied")
        } catch (error: ClassifierError.ModelFileChanged) {
            assertEquals(0, storage.root.list()!!.size)
        }
    }

    @Test(expected = ClassifierError.ModelFileNotWritten::class)
    fun aFolderThatCannotBeMadeIsTold() {
        hashNamedFile(bytes, model, File(storage.newFile("a file"), "below"))
    }

    private fun refused(changed: ByteArray) {
        try {
            model.check(changed)
            fail("a changed file passed")
        } catch (error: ClassifierError.ModelFileChanged) {
            assertEquals(sha256Of(changed), error.found)
            assertEquals(model.sha256, error.expected)
        }
    }
}
