package mobilemodels.squeezenetcxr

import android.content.Context
import java.io.File
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.LitePyTorchAndroid
import org.pytorch.Module
import org.pytorch.Tensor

/**
 * squeezenet_cxr 3.0.1 by PyTorch lite, from a .ptl file.
 *
 * Research only. Not a medical device; never use it for diagnosis.
 *
 * That runtime is no longer developed, and its last release (2.1.0) is not laid out for pages of
 * 16 KB, which Google Play asks for: take [SqueezenetCxrClassifier] in a new app. The number of
 * threads is set for the whole process; calls wait for each other.
 *
 * @param path one of [Model.FILES]; null: the first one among the assets of the app
 * @throws ClassifierError.ModelFileMissing no such file is in the app
 * @throws ClassifierError.ModelFileChanged the file is not the published one
 * @throws ClassifierError.ModelFileNotWritten the storage is full
 * @throws ClassifierError.RuntimeFailed PyTorch cannot load it
 */
class SqueezenetCxrLiteClassifier(context: Context, path: String? = null) : Classifier {
    override val file: ModelFile = packagedModel(context, listOf(".ptl"), path)

    private var module: Module? = open(context)

    @Synchronized
    override fun classifyPixels(rgb: ByteArray): Prediction {
        require(rgb.size == Model.WIDTH * Model.HEIGHT * 3) { "${rgb.size} bytes are no input" }
        val loaded = module ?: throw ClassifierError.RuntimeFailed("${file.path}: the classifier is closed")
        val answer = running("run") {
            loaded.forward(IValue.from(Tensor.fromBlobUnsigned(rgb, INPUT_SHAPE)))
        }
        // With evidence the model answers with two tensors, without it with one.
        val outputs = if (answer.isTuple) answer.toTuple().toList() else listOf(answer)
        return Prediction(
            outputs[0].toTensor().dataAsFloatArray,
            outputs.getOrNull(1)?.let { evidence(it.toTensor()) }
        )
    }

    @Synchronized
    override fun close() {
        module?.destroy()
        module = null
    }

    private fun open(context: Context): Module {
        // This loader takes a path only. Not in the cache: Android may empty that at any time.
        val folder = File(context.noBackupFilesDir, Model.ASSET_FOLDER)
        val copy = hashNamedFile(readModel(context, file), file, folder)
        return running("loaded") {
            // Not PyTorchAndroid, which looks for the library of the full runtime.
            LitePyTorchAndroid.setNumThreads(file.threads)
            LiteModuleLoader.load(copy.path)
        }
    }

    private fun evidence(tensor: Tensor): Evidence {
        val shape = tensor.shape()
        if (shape.size != 4) {
            throw ClassifierError.UnexpectedOutput("evidence of shape ${shape.joinToString()}")
        }
        return Evidence(shape[1].toInt(), shape[2].toInt(), shape[3].toInt(), tensor.dataAsFloatArray)
    }

    /** PyTorch's native errors arrive as runtime exceptions of several classes. */
    private fun <T> running(what: String, action: () -> T): T = try {
        action()
    } catch (error: RuntimeException) {
        throw ClassifierError.RuntimeFailed("${file.path} cannot be $what: ${error.message}", error)
    }

    private companion object {
        val INPUT_SHAPE = longArrayOf(1, Model.HEIGHT.toLong(), Model.WIDTH.toLong(), 3)
    }
}
