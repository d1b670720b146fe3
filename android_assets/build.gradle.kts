// squeezenet_cxr 3.0.0 as an Android library. Research only. Not a medical device; never use it for diagnosis.
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
        "40b7fa4282be489771c7ac8c50194c782a1c6b4128198956bfa242f2a1096300",
    "squeezenet_cxr_fp16.onnx" to
        "cfa3df6396c940e35a39b8072033beb2c10a5f3b4986ca18e7f6c92036e5e2a3",
    "squeezenet_cxr_int8.onnx" to
        "608b49e1622a701a0252e36b287d0feef02db3bddf11e221805ce1b8c3f8e2d9",
    "squeezenet_cxr_w4.onnx" to
        "7fb335302c3a93590345f836287ea3f9bfb6bf30a2bd0ade9d872a77e171baa1",
    "squeezenet_cxr_w3.onnx" to
        "f595e7ab761ce827719fcfcbd9b07da9349fd722c1587ac709a043140b70f5e2",
    "squeezenet_cxr_fp32.ort" to
        "fc072a4698f57002f7113fca28a1a0360bf5e8eff2a43c4a8c06ac5d0912eadd",
    "squeezenet_cxr_int8.ort" to
        "d47a59a451482b59c8573e9d1026aebb01ae79667e174fee255453eb70e2b540",
    "squeezenet_cxr_fp32.ptl" to
        "6df5af85046c560e03c15363de491fd314575a6f71c065c810b69945bdfbc865",
    "squeezenet_cxr_fp16.ptl" to
        "8b20c2f6f30a0e109b5b60b44ab5393157873a6c39403825d090a9cf91bb8850",
    "squeezenet_cxr_int8.ptl" to
        "9b8a6815f4f6713f0c7cbc2bb876f6fd43f590ed86e273d67ce081a3ae4d68e1",
    "squeezenet_cxr_w4.ptl" to
        "82aebb9e52c9a85dab792d30afa165c3afda4f1842f7ed8a835985c37e0f679e",
    "squeezenet_cxr_w3.ptl" to
        "692e2574f1e1bb60227b0ef7c9b198be1f38719c17395afd48cc388953ee5da8"
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
