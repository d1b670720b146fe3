package mobilemodels.squeezenetcxr

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

private const val PART = ".part"
private const val ABANDONED_AFTER_MS = 60L * 60L * 1000L

/**
 * Lay a model down in [folder], for a runtime that loads from a path only.
 *
 * The file is called by its hash, so that an update of the app can never meet the model of an
 * earlier one under the same name. It is written beside, then renamed: whoever looks sees the whole
 * file or none. What is there already is read and hashed again, and replaced where it is damaged.
 * Files of earlier releases in [folder], which should hold nothing else, are removed.
 *
 * @throws ClassifierError.ModelFileChanged [bytes] are not those of [model]
 * @throws ClassifierError.ModelFileNotWritten the storage is full or cannot be written
 */
fun hashNamedFile(bytes: ByteArray, model: ModelFile, folder: File): File {
    model.check(bytes)
    val target = File(folder, nameByHash(model))
    try {
        if (!folder.isDirectory && !folder.mkdirs() && !folder.isDirectory) {
            throw IOException("$folder cannot be made")
        }
        removeOthers(folder, Model.FILES.map { nameByHash(it) } + target.name)
        if (!target.isFile || sha256Of(target.readBytes()) != model.sha256) {
            writeWhole(bytes, target)
        }
    } catch (error: IOException) {
        throw ClassifierError.ModelFileNotWritten(target.path, error)
    }
    return target
}

private fun nameByHash(model: ModelFile): String =
    model.sha256 + "." + model.path.substringAfterLast('.')

private fun writeWhole(bytes: ByteArray, target: File) {
    val part = File.createTempFile(target.name, PART, target.parentFile)
    try {
        FileOutputStream(part).use {
            it.write(bytes)
            it.fd.sync()
        }
        if (!part.renameTo(target)) {
            throw IOException("$part cannot be renamed to $target")
        }
    } finally {
        part.delete()
    }
}

private fun removeOthers(folder: File, kept: List<String>) {
    val now = System.currentTimeMillis()
    for (file in folder.listFiles().orEmpty()) {
        // Another process of the app may be writing this moment.
        val inWork = file.name.endsWith(PART) && now - file.lastModified() < ABANDONED_AFTER_MS
        if (file.name !in kept && !inWork) {
            file.delete()
        }
    }
}
