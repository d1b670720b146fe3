package mobilemodels.squeezenetcxr

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * squeezenet_cxr 3.0.1 by ONNX Runtime, from an .onnx or .ort file.
 *
 * Research only. Not a medical device; never use it for diagnosis.
 *
 * May be called by several threads at once, but not while it is closed.
 *
 * @param path one of [Model.FILES]; null: the first one among the assets of the app
 * @throws ClassifierError.ModelFileMissing no such file is in the app
 * @throws ClassifierError.ModelFileChanged the file is not the published one
 * @throws ClassifierError.RuntimeFailed ONNX Runtime cannot load it
 */
class SqueezenetCxrClassifier(context: Context, path: String? = null) : Classifier {
    override val file: ModelFile = packagedModel(context, listOf(".onnx", ".ort"), path)

    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = open(readModel(context, file))

    @Volatile
    private var closed = false

    override fun classifyPixels(rgb: ByteArray): Prediction {
        require(rgb.size == Model.WIDTH * Model.HEIGHT * 3) { "${rgb.size} bytes are no input" }
        if (closed) throw ClassifierError.RuntimeFailed("${file.path}: the classifier is closed")
        val input = ByteBuffer.allocateDirect(rgb.size).order(ByteOrder.nativeOrder())
        input.put(rgb)
        input.rewind()
        try {
            OnnxTensor.createTensor(environment, input, INPUT_SHAPE, OnnxJavaType.UINT8).use { tensor ->
                session.run(mapOf(Model.INPUT to tensor)).use { outputs -> return prediction(outputs) }
            }
        } catch (error: OrtException) {
            throw ClassifierError.RuntimeFailed("${file.path} cannot be run: ${error.message}", error)
        }
    }

    override fun close() {
        if (!closed) session.close()
        closed = true
    }

    private fun open(bytes: ByteArray): OrtSession = try {
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(file.threads)
            // As it was measured. An ORT file was optimised when it was made.
            if (file.path.endsWith(".onnx")) {
                options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT)
            }
            environment.createSession(bytes, options)
        }
    } catch (error: OrtException) {
        throw ClassifierError.RuntimeFailed("${file.path} cannot be loaded: ${error.message}", error)
    }

    private fun prediction(outputs: OrtSession.Result): Prediction {
        val probs = tensor(outputs, Model.PROBS)
            ?: throw ClassifierError.UnexpectedOutput("${file.path} has no output ${Model.PROBS}")
        return Prediction(floats(probs), tensor(outputs, Model.EVIDENCE)?.let { evidence(it) })
    }

    private fun evidence(tensor: OnnxTensor): Evidence {
        val shape = tensor.info.shape
        if (shape.size != 4) {
            throw ClassifierError.UnexpectedOutput("evidence of shape ${shape.joinToString()}")
        }
        return Evidence(shape[1].toInt(), shape[2].toInt(), shape[3].toInt(), floats(tensor))
    }

    private fun tensor(outputs: OrtSession.Result, name: String): OnnxTensor? =
        outputs.get(name).orElse(null) as? OnnxTensor

    private fun floats(tensor: OnnxTensor): FloatArray {
        val buffer = tensor.floatBuffer ?: throw ClassifierError.UnexpectedOutput("an output is not float32")
        return FloatArray(buffer.remaining()).also { buffer.get(it) }
    }

    private companion object {
        val INPUT_SHAPE = longArrayOf(1, Model.HEIGHT.toLong(), Model.WIDTH.toLong(), 3)
    }
}
