package mobilemodels.squeezenetcxr

/** Everything that can go wrong, by its cause. Messages say what, where, and the way out. */
sealed class ClassifierError(message: String, cause: Throwable? = null) : Exception(message, cause) {

    /** No model file of this release is in the app, or not the one that was asked for. */
    class ModelFileMissing(path: String, cause: Throwable? = null) : ClassifierError(
        "$path is not among the assets of this app; name it in the Gradle property " +
            "\"${Model.NAME}.models\" and build again",
        cause
    )

    /** The bytes are not those that were proven: another release, or damaged on the way. */
    class ModelFileChanged(path: String, val expected: String, val found: String) : ClassifierError(
        "$path is not the file that was published with this code: SHA-256 $found, expected " +
            "$expected; pull the whole folder again, code and model files together"
    )

    /** The model could not be laid down as a file, which PyTorch lite needs. */
    class ModelFileNotWritten(path: String, cause: Throwable? = null) : ClassifierError(
        "$path cannot be written; is the storage full?",
        cause
    )

    /** The image cannot be read: damaged, of no known format, empty, or a recycled bitmap. */
    class UnreadableImage(reason: String, cause: Throwable? = null) : ClassifierError(reason, cause)

    /** The runtime refused the model or failed while running it. */
    class RuntimeFailed(what: String, cause: Throwable? = null) : ClassifierError(what, cause)

    /** The runtime answered with something that this model cannot say. */
    class UnexpectedOutput(what: String) : ClassifierError(what)
}
