// squeezenet_cxr 3.0.1 as an Android library. Research only. Not a medical device; never use it for diagnosis.
// Generated from manifest.json by `python -m export all`; do not edit, pull the next release.

import java.security.MessageDigest
import org.jetbrains.kotlin.gradle.dsl.JvmTarget
import org.jetbrains.kotlin.gradle.tasks.KotlinCompile

plugins {
    id("com.android.library")
}

// From version 9 on the Android plugin compiles Kotlin by itself, and refuses this one.
if (androidComponents.pluginVersion.major < 9) {
    apply(plugin = "org.jetbrains.kotlin.android")
}

// Built in the app's folder: this one stays as it was pulled, and as `verify` wants it.
layout.buildDirectory.set(rootProject.layout.buildDirectory.dir("squeezenet_cxr"))

/** The published model files, each with its SHA-256. */
val published = mapOf(
    "squeezenet_cxr_fp32.onnx" to
        "0e9bd94889bbd832590cb89a5eec0f74ab6fd67cd101f98dd2f414efc71a3c54",
    "squeezenet_cxr_fp16.onnx" to
        "a965f878aff93875656f2bcffc95f0528d0f4a520ea9683be473916e07c79bcf",
    "squeezenet_cxr_int8.onnx" to
        "c1c72cb37a7ed51372e177feeb04a6031a4f38fdf35917361c43401db0cd6f35",
    "squeezenet_cxr_w4.onnx" to
        "a932c6c2bd8c1b57579c291637f07caa594b871bb0b003e614af131e3669bd71",
    "squeezenet_cxr_w3.onnx" to
        "0aefbc4999d72708220b9d6a9040dfc7314a16292828cec7d6a7831a7d6df2a7",
    "squeezenet_cxr_fp32.ort" to
        "9190efc2b90a9ec29ad83f192b485cc9ab5ced0277f52ddcdefd5f85da37ff34",
    "squeezenet_cxr_int8.ort" to
        "0bf3d5d90720a0475499d7ef6c9fc91771b8d0205ee11966a04e2744a82f4e31",
    "squeezenet_cxr_fp32.ptl" to
        "94e635409f5cdd4bc177b82fa145436aa84af5b509acb86e60d77774dffc4639",
    "squeezenet_cxr_fp16.ptl" to
        "f225c1a7225154bea695a55cb7c9f7541cd0f92116ad1538fb04598acd283d55",
    "squeezenet_cxr_int8.ptl" to
        "1741aec726c013c459c0ef85c20b45a025a048e81e060acc6f3daa9cb0c750ea",
    "squeezenet_cxr_w4.ptl" to
        "3eefec74f9998060b0daeb7a62c3ffb96a3396541529c1b74e87639425730b71",
    "squeezenet_cxr_w3.ptl" to
        "dec4c28e2138e0c121df55bfb62d31f2aae5067204954eefad681ba3df79a622"
)

/**
 * Which of them go into the app, with commas between, in gradle.properties of the app:
 * squeezenet_cxr.models=squeezenet_cxr_w4.onnx
 * An .onnx or .ort file brings ONNX Runtime along, a .ptl file PyTorch lite.
 */
val modelsProperty = "squeezenet_cxr.models"
val chosen = providers.gradleProperty(modelsProperty).getOrElse("squeezenet_cxr_w4.onnx")
    .split(",").map { it.trim() }.filter { it.isNotEmpty() }
require(chosen.isNotEmpty()) { "$modelsProperty names no file; there are: ${published.keys}" }
for (model in chosen) {
    require(model in published) { "$modelsProperty: $model is not published; there are: ${published.keys}" }
}
val withOnnxRuntime = chosen.any { it.endsWith(".onnx") || it.endsWith(".ort") }
val withPyTorch = chosen.any { it.endsWith(".ptl") }

android {
    namespace = "mobilemodels.squeezenetcxr"
    compileSdk = 35

    defaultConfig {
        minSdk = 24 // of onnxruntime-android; EXIF is read from a stream from there on
        consumerProguardFiles("consumer-rules.pro")
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    // src/core knows nothing of Android: it is compiled and tested on any JVM.
    sourceSets.getByName("main").kotlin.srcDir("src/core/kotlin")
    sourceSets.getByName("test").kotlin.srcDir("src/golden/kotlin")
    sourceSets.getByName("androidTest").kotlin.srcDir("src/golden/kotlin")
    sourceSets.getByName("androidTest").assets.srcDir("golden")
    if (withOnnxRuntime) {
        sourceSets.getByName("main").kotlin.srcDir("src/onnxruntime/kotlin")
        sourceSets.getByName("androidTest").kotlin.srcDir("src/androidTestOnnxruntime/kotlin")
    }
    if (withPyTorch) {
        sourceSets.getByName("main").kotlin.srcDir("src/pytorch/kotlin")
        sourceSets.getByName("androidTest").kotlin.srcDir("src/androidTestPytorch/kotlin")
    }
}

tasks.withType<KotlinCompile>().configureEach {
    compilerOptions.jvmTarget.set(JvmTarget.JVM_17)
}

dependencies {
    if (withOnnxRuntime) {
        // The files promise 1.16 or newer. Libraries for pages of 16 KB, which Google
        // Play asks for, came later.
        implementation("com.microsoft.onnxruntime:onnxruntime-android:1.27.0")
    }
    if (withPyTorch) {
        implementation("org.pytorch:pytorch_android_lite:2.1.0")
    }
    testImplementation("junit:junit:4.13.2")
    // Android has org.json, the JVM of the unit tests only stubs of it.
    testImplementation("org.json:json:20240303")
    androidTestImplementation("androidx.test:runner:1.6.2")
    androidTestImplementation("androidx.test.ext:junit:1.2.1")
}

/** Copies the chosen models into the assets, those and no other bytes than were published. */
abstract class CopyModels : DefaultTask() {
    @get:InputFiles
    @get:PathSensitive(PathSensitivity.NAME_ONLY)
    abstract val models: ConfigurableFileCollection

    @get:Input
    abstract val sha256: MapProperty<String, String>

    @get:Input
    abstract val folder: Property<String>

    @get:OutputDirectory
    abstract val assets: DirectoryProperty

    @TaskAction
    fun copy() {
        assets.get().asFile.deleteRecursively()
        val target = assets.get().dir(folder.get()).asFile
        target.mkdirs()
        for (model in models) {
            check(model.isFile) { "$model is missing; pull the whole folder again" }
            val digest = MessageDigest.getInstance("SHA-256").digest(model.readBytes())
            val found = digest.joinToString("") { "%02x".format(it) }
            check(found == sha256.get()[model.name]) {
                "$model is not the file that was published with this code: SHA-256 $found, expected " +
                    "${sha256.get()[model.name]}; pull the whole folder again"
            }
            model.copyTo(target.resolve(model.name))
        }
    }
}

val copyModels = tasks.register<CopyModels>("copyModels") {
    models.from(chosen.map { layout.projectDirectory.file(it) })
    sha256.set(published)
    folder.set("mobilemodels/squeezenet_cxr")
}

androidComponents.onVariants { variant ->
    variant.sources.assets?.addGeneratedSourceDirectory(copyModels, CopyModels::assets)
}
