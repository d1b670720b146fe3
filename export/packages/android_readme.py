"""The section of ``android_assets/README.md`` on the Gradle module: from nothing to a label."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill, indent
from typing import Final

from export.deploy.outputs import EVIDENCE
from export.formats.register import FORMATS, android_runtimes
from export.formats.source_text import kotlin
from export.manifest.manifest import ArtifactEntry, Manifest
from export.packages.android import (
    GROUP,
    android_artifacts,
    class_name,
    default_file,
    package_name,
    runtime_texts,
)
from pipeline.terminal.markdown import shown

SECTION: Final = """\
## The Gradle module

This folder is an Android library module: the model, the preprocessing above in plain Kotlin, and
tests that prove both on your device. {intended_use}

1. Copy the folder beside your app's module. In `settings.gradle.kts`:

   ```kotlin
   include(":{name}")
   project(":{name}").projectDir = file("{folder}")
   ```

   and in the app's `build.gradle.kts`, `dependencies`: `implementation(project(":{name}"))`. Needs
   minSdk 24, the Android Gradle plugin 8 or newer, and Kotlin 1.8 or newer in the root project
   (`id("org.jetbrains.kotlin.android") version "..." apply false`; not from plugin 9 on). Nothing
   is written into this folder: it is built in the app's `build`.
2. Classify, away from the main thread:

   ```kotlin
{usage}
   ```

   Show `Model.INTENDED_USE` with every result{and_map}.
   A Bitmap does not know how the camera was held: give `readImage` the bytes of the file, or wrap
   the pixels in `Upright` with the EXIF orientation.
3. Prove it: `./gradlew :{name}:testDebugUnitTest` on your computer,
   `./gradlew :{name}:connectedDebugAndroidTest` on a phone. The second replays the golden pack and
   says PREPROCESSING where an image does not become the pixels that it must, MODEL OR RUNTIME where
   the model answers otherwise on the exact pixels.

`{default}` goes into the app. `{name}.models=...` in the app's `gradle.properties` chooses others,
{files}. The build stops at a file whose SHA-256 is not the one in the code, and so does loading.
Errors are subclasses of `ClassifierError`.

What was tried, and where:

- `src/core` (resize, orientation, decision, heat map, hash check; no Android in it) and its tests
  in `src/test`: compiled by Kotlin 1.3 and 2.4, run on a JVM; the resize gives Pillow's own bytes.
- `src/main`, `src/onnxruntime`, `src/pytorch` and the tests for a device in `src/androidTest*`:
  compiled and run on a JVM against stand-ins of Android's and the runtimes' classes.
- `build.gradle.kts`: parsed by a grammar.
- **Not run by us**: Gradle and the Android plugin, Android's decoders, the runtimes' builds for
  Android, a phone. That is what step 3 is for.

"""
USAGE: Final = """\
import {package}.*

val classifier = {classifier}(context{path})
val prediction = classifier.classify(readImage(photoBytes))  // also a Bitmap, if it is upright
println(prediction.label + prediction.probabilities.toList())  // in the order of Model.LABELS
{heat_map}classifier.close()"""
HEAT_MAP: Final = "val map = prediction.evidence?.heatMapBitmap(prediction.index, 512, 512)\n"


def kotlin_usage(package: str, classifier: str, mapped: bool, path: str | None = None) -> str:
    """Kotlin that classifies one image by the module.

    Args:
        package: of the module's Kotlin.
        classifier: name of the class.
        mapped: whether the model gives evidence.
        path: of the model file; None: the first one that is in the app.
    """
    return USAGE.format(
        package=package,
        classifier=classifier,
        path="" if path is None else f", {kotlin(path)}",
        heat_map=HEAT_MAP if mapped else "",
    )


def gradle_module_section(manifest: Manifest, folder: str) -> str:
    """Markdown; empty where nothing in the manifest runs on Android. `folder`: the asset folder."""
    artifacts = android_artifacts(manifest)
    if not artifacts:
        return ""
    name = manifest.model.name
    first = class_name(name)
    mapped = any(port.name == EVIDENCE for artifact in artifacts for port in artifact.outputs)
    return SECTION.format(
        intended_use=shown(manifest.model.intended_use),
        name=name,
        folder=folder,
        usage=indent(
            kotlin_usage(f"{GROUP}.{package_name(name)}", f"{first}Classifier", mapped), "   "
        ),
        default=default_file(artifacts),
        and_map=" and every heat map" if mapped else "",
        files=_files(artifacts, first),
    )


def _files(artifacts: Sequence[ArtifactEntry], first: str) -> str:
    """Which files bring which runtime, and the class to use if it is not the one above."""
    here = {FORMATS[artifact.format].android for artifact in artifacts}
    parts = []
    for runtime, text in zip(android_runtimes(), runtime_texts("`{}`"), strict=True):
        other = runtime.class_suffix and runtime in here
        use = f", to be used by `{first}{runtime.class_suffix}Classifier`" if other else ""
        parts.append(text + use)
    return fill(f"with commas between: {', '.join(parts)}", 99, break_long_words=False)
