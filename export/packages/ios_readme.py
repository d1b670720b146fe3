"""The section of ``ios_assets/README.md`` on the Swift package: to a label within minutes."""

from __future__ import annotations

from textwrap import indent
from typing import Final

from export.deploy.outputs import EVIDENCE
from export.manifest.manifest import Manifest
from export.packages.ios import default_model, module_name
from pipeline.terminal.markdown import shown

SECTION: Final = """\
## The Swift package

This folder is a Swift package, `{module}`: the model, the preprocessing above in plain Swift, and
tests that prove both on your device. {intended_use}

1. Copy the folder beside your app. In Xcode: File, Add Package Dependencies, Add Local, this
   folder; add the library `{module}` to your target. In a Package.swift:
   `.package(path: "../{folder}")`. Oldest system: iOS {ios}.
2. Classify:

   ```swift
{usage}
   ```

   Show `ModelFacts.intendedUse` with every result{and_map}. A `CGImage` does not know how it
   lies: pass its orientation.
3. Run the tests: choose the scheme `{module}` and a phone, then Product, Test; on a Mac,
   `swift test` in this folder. `GoldenTests` says PREPROCESSING where an image does not become
   the pixels that it must, and MODEL OR RUNTIME where Core ML answers otherwise on the very
   pixels.

Package.swift takes `{chosen}` ({precision}): the smallest that iOS {ios} loads. Its first
constant chooses another; only the chosen one goes into the app. Before a model is compiled, the
SHA-256 of each of its files is compared with the one in the code; the compiled model is kept in the
app's caches under a name made of these hashes. Errors are cases of `ClassifierError`. The app's
pixels are read as stored, in whatever colour space the image says it is in: no colour management,
as in training. CMYK images and planar video are refused, not guessed at.

What was tried, and where: all sources parse; on Linux, Swift 6.0 compiles the package and its tests
pass, with the resize equal to Pillow's bit for bit. The files in `Sources/{module}/Apple` were
compiled and tested there against stand-ins of Apple's frameworks. **Not run by us**: anything on a
Mac or a phone: Xcode's build, ImageIO's decoders, Core ML and the Neural Engine. That is what
step 3 is for.
"""
USAGE: Final = """\
import {module}

let classifier = try await ImageClassifier()
let result = try classifier.classify(contentsOf: photo)  // also CGImage, UIImage, CVPixelBuffer
print(result.label, result.probabilities)                // in the order of ModelFacts.labels"""
HEAT_MAP: Final = """
let map = try result.evidence?.heatMap(for: result.label, width: 512, height: 512).cgImage"""


def swift_usage(module: str, mapped: bool) -> str:
    """Swift that classifies one image by the package; `mapped`: the model gives evidence."""
    return USAGE.format(module=module) + (HEAT_MAP if mapped else "")


def swift_package_section(manifest: Manifest, folder: str) -> str:
    """Markdown; empty without a Core ML artifact. `folder` is the asset folder's name."""
    chosen = default_model(manifest)
    if chosen is None:
        return ""
    model = manifest.model
    mapped = any(port.name == EVIDENCE for port in chosen.outputs)
    return SECTION.format(
        module=module_name(model.name),
        usage=indent(swift_usage(module_name(model.name), mapped), "   "),
        intended_use=shown(model.intended_use),
        folder=folder,
        ios=chosen.requires["ios"],
        chosen=chosen.path,
        precision=chosen.precision,
        and_map=" and every heat map" if mapped else "",
    )
