package mobilemodels.squeezenetcxr

import java.security.MessageDigest

/**
 * A published model file.
 *
 * @property path relative to the asset folder, and below [Model.ASSET_FOLDER] in the app
 * @property sha256 of the whole file, in lower-case hexadecimal digits
 * @property threads that the file was measured fastest with; what the session is given
 */
data class ModelFile(val path: String, val sizeBytes: Long, val sha256: String, val threads: Int) {

    /**
     * Hold [bytes] against the published hash. Runtimes crash natively on a damaged file, and load
     * an exchanged one without a word, so this comes before every load.
     *
     * @throws ClassifierError.ModelFileChanged the bytes are others
     */
    fun check(bytes: ByteArray) {
        val found = sha256Of(bytes)
        if (bytes.size.toLong() != sizeBytes || found != sha256) {
            throw ClassifierError.ModelFileChanged(path, sha256, found)
        }
    }
}

/** SHA-256 in lower-case hexadecimal digits. */
fun sha256Of(bytes: ByteArray): String {
    val digits = StringBuilder(64)
    for (byte in MessageDigest.getInstance("SHA-256").digest(bytes)) {
        digits.append(Character.forDigit((byte.toInt() shr 4) and 15, 16))
        digits.append(Character.forDigit(byte.toInt() and 15, 16))
    }
    return digits.toString()
}

/**
 * The file among [packaged] asset names that a runtime for [suffixes] loads.
 *
 * @param wanted its path, or null for the first one in the order of [Model.FILES]
 * @throws ClassifierError.ModelFileMissing there is none
 */
fun chooseModelFile(packaged: Collection<String>, suffixes: List<String>, wanted: String?): ModelFile {
    val fitting = Model.FILES.filter { file -> suffixes.any { file.path.endsWith(it) } }
    return fitting.firstOrNull { it.path in packaged && (wanted == null || it.path == wanted) }
        ?: throw ClassifierError.ModelFileMissing(wanted ?: "a file of ${suffixes.joinToString(" or ")}")
}
