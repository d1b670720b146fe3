"""The lines that load one published file into an app: Kotlin, Swift, HTML and Python.

In: a file's entry of the manifest and the model's. Out: `Snippet`s, each whole, with the file's
name, its hash, its ports and its session options as the manifest has them. Where the folder has
code of its own for a platform, that comes first: it brings the preprocessing along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from export.deploy.outputs import EVIDENCE
from export.packages.android import (
    GROUP,
    ONNXRUNTIME_ANDROID,
    OPTIMISATION,
    class_name,
    comment,
    kotlin,
    package_name,
)
from export.packages.android_readme import kotlin_usage
from export.packages.ios import COMPUTE_UNITS, module_name, swift_comment, swift_string
from export.packages.ios_readme import swift_usage
from export.packages.web_readme import html_usage

KOTLIN: Final = "Kotlin"
SWIFT: Final = "Swift"
HTML: Final = "HTML"
PYTHON: Final = "Python"
WEB_FOLDER: Final = "web_assets"
GRADLE_ONNXRUNTIME: Final = "com.microsoft.onnxruntime:onnxruntime-android"
LITE_ENGINE: Final = {"int8": '\ntorch.backends.quantized.engine = "qnnpack"'}


@dataclass(frozen=True)
class Snippet:
    """A piece of code to be copied.

    Attributes:
        title: what it is for, and what it needs.
        language: one of the names above.
        text: the code, without a newline at its end.
    """

    title: str
    language: str
    text: str


def snippets(
    format_name: str, precision: str, place: str, file: Mapping[str, Any], model: Mapping[str, Any]
) -> list[Snippet]:
    """All snippets of one published file.

    Args:
        format_name, precision: of the file.
        place: the platforms that it is published for, with spaces between.
        file: `path`, `files`, `inputs`, `outputs`, `requires` and `session`, as in the manifest.
        model: `name`, `labels` and `side`.
    """
    facts = _Facts(format_name, precision, file, model)
    return [
        made(facts)
        for platform, made in MAKERS.get(format_name, ())
        if platform in ("", *place.split())
    ]


@dataclass(frozen=True)
class _Facts:
    format: str
    precision: str
    file: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def path(self) -> str:
        return str(self.file["path"])

    @property
    def input(self) -> Mapping[str, Any]:
        port: Mapping[str, Any] = self.file["inputs"][0]
        return port

    @property
    def output(self) -> Mapping[str, Any]:
        """The probabilities."""
        return next(port for port in self.file["outputs"] if port["name"] != EVIDENCE)

    @property
    def mapped(self) -> bool:
        return any(port["name"] == EVIDENCE for port in self.file["outputs"])

    @property
    def session(self) -> Mapping[str, Any]:
        session: Mapping[str, Any] = self.file["session"]
        return session

    def header(self, sign: str, quiet: Callable[[str], str]) -> str:
        """What every snippet opens with: files and their hashes, ports."""
        lines = [f"{entry['path']}, SHA-256 {entry['sha256']}" for entry in self.file["files"]]
        ports = [("in", port) for port in self.file["inputs"]]
        ports += [("out", port) for port in self.file["outputs"]]
        lines += [f"{way} {p['name']}: {p['dtype']} {_shape(p['shape'])}" for way, p in ports]
        return "\n".join(f"{sign} {quiet(line)}" for line in lines)


def _gradle_module(facts: _Facts) -> Snippet:
    name = facts.model["name"]
    lite = facts.format == "torchscript"
    classifier = f"{class_name(name)}{'Lite' * lite}Classifier"
    text = f"""\
{facts.header("//", comment)}
// gradle.properties of the app: {comment(name)}.models={comment(facts.path)}
{kotlin_usage(f"{GROUP}.{package_name(name)}", classifier, facts.mapped, facts.path)}"""
    return Snippet("With the Gradle module of android_assets", KOTLIN, text)


def _kotlin_onnxruntime(facts: _Facts) -> Snippet:
    shape = facts.input["shape"]
    options = [f"    setIntraOpNumThreads({facts.session['intra_op_num_threads']})"]
    if "graph_optimization_level" in facts.session:
        level = OPTIMISATION[facts.session["graph_optimization_level"]]
        options.append(f"    setOptimizationLevel(OrtSession.SessionOptions.OptLevel.{level})")
    lines = "\n".join(options)
    name, answer = kotlin(facts.input["name"]), kotlin(facts.output["name"])
    classes = facts.output["shape"][-1]
    text = f"""\
{facts.header("//", comment)}
// build.gradle.kts: implementation("{GRADLE_ONNXRUNTIME}:{ONNXRUNTIME_ANDROID}")
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer

val environment = OrtEnvironment.getEnvironment()
val options = OrtSession.SessionOptions().apply {{
{lines}
}}
val file = context.assets.open({kotlin(facts.path)}).use {{ it.readBytes() }}
val session = environment.createSession(file, options)

// rgb: ByteArray, {shape[1]} x {shape[2]} pixels, rows first, R G B each
val pixels = ByteBuffer.allocateDirect(rgb.size).apply {{ put(rgb); rewind() }}
val shape = longArrayOf({_numbers(shape)})
val probs = OnnxTensor.createTensor(environment, pixels, shape, OnnxJavaType.UINT8).use {{ image ->
    session.run(mapOf({name} to image), setOf({answer})).use {{ outputs ->
        FloatArray({classes}).also {{ (outputs[0] as OnnxTensor).floatBuffer.get(it) }}
    }}
}}"""
    return Snippet(f"ONNX Runtime alone, {_least(facts)} or newer", KOTLIN, text)


def _kotlin_lite(facts: _Facts) -> Snippet:
    version = facts.file["requires"]["pytorch_lite"]
    shape = facts.input["shape"]
    answer = ".toTuple()[0]" if facts.mapped else ""
    text = f"""\
{facts.header("//", comment)}
// build.gradle.kts: implementation("org.pytorch:pytorch_android_lite:{version}")
import java.io.File
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.LitePyTorchAndroid
import org.pytorch.Tensor

LitePyTorchAndroid.setNumThreads({facts.session["num_threads"]})
// The loader takes a path only.
val copy = File(context.noBackupFilesDir, {kotlin(facts.path)})
context.assets.open(copy.name).use {{ from -> copy.outputStream().use {{ from.copyTo(it) }} }}
val module = LiteModuleLoader.load(copy.path)

// rgb: ByteArray, {shape[1]} x {shape[2]} pixels, rows first, R G B each
val image = Tensor.fromBlobUnsigned(rgb, longArrayOf({_numbers(shape)}))
val probs = module.forward(IValue.from(image)){answer}.toTensor().dataAsFloatArray"""
    return Snippet(f"PyTorch lite alone, {version}", KOTLIN, text)


def _swift_onnxruntime(facts: _Facts) -> Snippet:
    shape = facts.input["shape"]
    name, answer = swift_string(facts.input["name"]), swift_string(facts.output["name"])
    text = f"""\
{facts.header("//", swift_comment)}
// Package.swift: https://github.com/microsoft/onnxruntime-swift-package-manager
import Foundation
import OnnxRuntimeBindings

let file = Bundle.main.url(forResource: {swift_string(facts.path)}, withExtension: nil)!
let environment = try ORTEnv(loggingLevel: .warning)
let options = try ORTSessionOptions()
try options.setIntraOpNumThreads({facts.session["intra_op_num_threads"]})
try options.setGraphOptimizationLevel(.all)
let session = try ORTSession(env: environment, modelPath: file.path, sessionOptions: options)

// rgb: [UInt8], {shape[1]} x {shape[2]} pixels, rows first, R G B each
let pixels = NSMutableData(bytes: rgb, length: rgb.count)
let image = try ORTValue(
    tensorData: pixels, elementType: .uInt8, shape: [{_numbers(shape)}])
let outputs = try session.run(
    withInputs: [{name}: image],
    outputNames: [{answer}], runOptions: nil)
let data = try outputs[{answer}]!.tensorData() as Data
// {_shape(facts.output["shape"])}
let probs = data.withUnsafeBytes {{ Array($0.bindMemory(to: Float.self)) }}"""
    return Snippet(f"ONNX Runtime alone, {_least(facts)} or newer", SWIFT, text)


def _swift_package(facts: _Facts) -> Snippet:
    module = module_name(facts.model["name"])
    text = f"""\
{facts.header("//", swift_comment)}
// ios_assets/Package.swift: let model = {swift_string(facts.path)}
{swift_usage(module, facts.mapped)}"""
    return Snippet("With the Swift package of ios_assets", SWIFT, text)


def _swift_coreml(facts: _Facts) -> Snippet:
    rows, columns = facts.input["shape"]
    name, answer = swift_string(facts.input["name"]), swift_string(facts.output["name"])
    units = COMPUTE_UNITS[facts.session["compute_units"]]
    text = f"""\
{facts.header("//", swift_comment)}
// The .mlpackage in the app's bundle as it is (Copy Bundle Resources), not compiled by Xcode.
import CoreML

let file = Bundle.main.url(forResource: {swift_string(facts.path)}, withExtension: nil)!
let configuration = MLModelConfiguration()
configuration.computeUnits = {units}
let compiled = try await MLModel.compileModel(at: file)
let model = try await MLModel.load(contentsOf: compiled, configuration: configuration)

// pixels: CVPixelBuffer, {columns} x {rows}, the whole image squished to it, not cropped
let image = MLFeatureValue(pixelBuffer: pixels)
let input = try MLDictionaryFeatureProvider(dictionary: [{name}: image])
let output = try await model.prediction(from: input)
let probs = output.featureValue(for: {answer})!.dictionaryValue
// the probability of each label"""
    return Snippet(f"Core ML alone, iOS {facts.file['requires']['ios']} or newer", SWIFT, text)


def _python_onnxruntime(facts: _Facts) -> Snippet:
    level = facts.session.get("graph_optimization_level")
    optimisation = (
        f"\noptions.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}"
        if level
        else ""
    )
    text = f"""\
{facts.header("#", comment)}
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

content = Path({facts.path!r}).read_bytes()
assert hashlib.sha256(content).hexdigest() == {_sha256(facts)!r}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {facts.session["intra_op_num_threads"]}{optimisation}
session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

{_python_pixels(facts)}
(probs,) = session.run([{facts.output["name"]!r}], {{{facts.input["name"]!r}: pixels}})
print(dict(zip({facts.model["labels"]!r}, probs[0].tolist())))"""
    return Snippet(f"onnxruntime {facts.file['requires']['onnxruntime']} or newer", PYTHON, text)


def _python_lite(facts: _Facts) -> Snippet:
    first = "[0]" if facts.mapped else ""
    text = f"""\
{facts.header("#", comment)}
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.jit.mobile import _load_for_lite_interpreter

path = Path({facts.path!r})
assert hashlib.sha256(path.read_bytes()).hexdigest() == {_sha256(facts)!r}
torch.set_num_threads({facts.session["num_threads"]}){LITE_ENGINE.get(facts.precision, "")}
module = _load_for_lite_interpreter(str(path))

{_python_pixels(facts)}
with torch.inference_mode():
    probs = module(torch.from_numpy(pixels)){first}
print(dict(zip({facts.model["labels"]!r}, probs[0].tolist())))"""
    return Snippet("The lite interpreter in torch", PYTHON, text)


def _python_coreml(facts: _Facts) -> Snippet:
    rows, columns = facts.input["shape"]
    units = str(facts.session["compute_units"]).upper()
    text = f"""\
{facts.header("#", comment)}
import coremltools
from PIL import Image, ImageOps

model = coremltools.models.MLModel({facts.path!r}, compute_units=coremltools.ComputeUnit.{units})

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
image = photo.resize(({columns}, {rows}), Image.Resampling.BILINEAR)
print(model.predict({{{facts.input["name"]!r}: image}})[{facts.output["name"]!r}])"""
    return Snippet("coremltools, on a Mac alone", PYTHON, text)


def _python_pixels(facts: _Facts) -> str:
    _, rows, columns, _ = facts.input["shape"]
    return f"""\
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
squished = photo.resize(({columns}, {rows}), Image.Resampling.BILINEAR)
pixels = np.array(squished)[np.newaxis].copy()  # uint8 {_shape(facts.input["shape"])}"""


def _sha256(facts: _Facts) -> str:
    (file,) = facts.file["files"]
    return str(file["sha256"])


def _least(facts: _Facts) -> str:
    return str(facts.file["requires"]["onnxruntime"])


def _shape(shape: Sequence[int]) -> str:
    return f"({_numbers(shape)})"


def _numbers(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


# Format -> (platform whose folder has the file, or "" for any; what makes the snippet).
def _html_page(facts: _Facts) -> Snippet:
    text = html_usage(WEB_FOLDER, facts.mapped, facts.precision)
    header = "\n".join(f"  {line}" for line in facts.header("", _html_comment).splitlines())
    return Snippet(
        "With the modules of web_assets, beside the runtime that `make web` puts there",
        HTML,
        f"<!--\n{header}\n-->\n{text}",
    )


def _html_comment(line: str) -> str:
    """The line without what would end the comment."""
    return " ".join(line.split()).replace("--", "- -")


MAKERS: Final[Mapping[str, Sequence[tuple[str, Callable[[_Facts], Snippet]]]]] = {
    "onnx": (
        ("android", _gradle_module),
        ("android", _kotlin_onnxruntime),
        ("ios", _swift_onnxruntime),
        ("web", _html_page),
        ("", _python_onnxruntime),
    ),
    "ort": (
        ("android", _gradle_module),
        ("android", _kotlin_onnxruntime),
        ("", _python_onnxruntime),
    ),
    "torchscript": (("android", _gradle_module), ("android", _kotlin_lite), ("", _python_lite)),
    "coreml": (("ios", _swift_package), ("ios", _swift_coreml), ("", _python_coreml)),
}
