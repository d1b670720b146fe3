package mobilemodels.squeezenetcxr

import android.content.Context
import java.io.IOException

/**
 * The model file in the assets of the app that a runtime for [suffixes] loads.
 *
 * @param wanted its path in [Model.FILES], or null for the first that is there
 * @throws ClassifierError.ModelFileMissing there is none
 */
internal fun packagedModel(context: Context, suffixes: List<String>, wanted: String?): ModelFile {
    val packaged = try {
        context.assets.list(Model.ASSET_FOLDER).orEmpty().toList()
    } catch (error: IOException) {
        throw ClassifierError.ModelFileMissing(Model.ASSET_FOLDER, error)
    }
    return chooseModelFile(packaged, suffixes, wanted)
}

/**
 * The bytes of a model in the assets, proven to be the published ones.
 *
 * @throws ClassifierError.ModelFileMissing it is not among the assets
 * @throws ClassifierError.ModelFileChanged it is another file
 */
internal fun readModel(context: Context, file: ModelFile): ByteArray {
    val bytes = try {
        context.assets.open("${Model.ASSET_FOLDER}/${file.path}").use { it.readBytes() }
    } catch (error: IOException) {
        throw ClassifierError.ModelFileMissing(file.path, error)
    }
    file.check(bytes)
    return bytes
}
