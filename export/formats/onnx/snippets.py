"""Code that loads an ONNX file, or one of the ORT format, by onnxruntime alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from export.formats.onnx.android import ARTIFACT, LEVEL, NEWEST, OPTIMISATION
from export.formats.snippet import (
    KOTLIN,
    PYTHON,
    SWIFT,
    Snippet,
    SnippetFile,
    SnippetMaker,
    numbers,
    python_labels,
    python_pixels,
    shape_text,
)
from export.formats.source_text import comment, kotlin, swift_comment, swift_string


def kotlin_onnxruntime(file: SnippetFile) -> Snippet:
    """Kotlin for an app."""
    shape = file.input.shape
    options = [f"    setIntraOpNumThreads({file.session['intra_op_num_threads']})"]
    if LEVEL in file.session:
        level = OPTIMISATION[str(file.session[LEVEL])]
        options.append(f"    setOptimizationLevel(OrtSession.SessionOptions.OptLevel.{level})")
    lines = "\n".join(options)
    name, answer = kotlin(file.input.name), kotlin(file.output.name)
    classes = file.output.shape[-1]
    text = f"""\
{file.header("//", comment)}
// build.gradle.kts: implementation("{ARTIFACT}:{NEWEST}")
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer

val environment = OrtEnvironment.getEnvironment()
val options = OrtSession.SessionOptions().apply {{
{lines}
}}
val file = context.assets.open({kotlin(file.path)}).use {{ it.readBytes() }}
val session = environment.createSession(file, options)

// rgb: ByteArray, {shape[2]} x {shape[1]} pixels, rows first, R G B each
val pixels = ByteBuffer.allocateDirect(rgb.size).apply {{ put(rgb); rewind() }}
val shape = longArrayOf({numbers(shape)})
val probs = OnnxTensor.createTensor(environment, pixels, shape, OnnxJavaType.UINT8).use {{ image ->
    session.run(mapOf({name} to image), setOf({answer})).use {{ outputs ->
        FloatArray({classes}).also {{ (outputs[0] as OnnxTensor).floatBuffer.get(it) }}
    }}
}}"""
    return Snippet(f"ONNX Runtime alone, {file.requires['onnxruntime']} or newer", KOTLIN, text)


def _swift_onnxruntime(file: SnippetFile) -> Snippet:
    shape = file.input.shape
    name, answer = swift_string(file.input.name), swift_string(file.output.name)
    text = f"""\
{file.header("//", swift_comment)}
// Package.swift: https://github.com/microsoft/onnxruntime-swift-package-manager
import Foundation
import OnnxRuntimeBindings

let file = Bundle.main.url(forResource: {swift_string(file.path)}, withExtension: nil)!
let environment = try ORTEnv(loggingLevel: .warning)
let options = try ORTSessionOptions()
try options.setIntraOpNumThreads({file.session["intra_op_num_threads"]})
try options.setGraphOptimizationLevel(.all)
let session = try ORTSession(env: environment, modelPath: file.path, sessionOptions: options)

// rgb: [UInt8], {shape[2]} x {shape[1]} pixels, rows first, R G B each
let pixels = NSMutableData(bytes: rgb, length: rgb.count)
let image = try ORTValue(
    tensorData: pixels, elementType: .uInt8, shape: [{numbers(shape)}])
let outputs = try session.run(
    withInputs: [{name}: image],
    outputNames: [{answer}], runOptions: nil)
let data = try outputs[{answer}]!.tensorData() as Data
// {shape_text(file.output.shape)}
let probs = data.withUnsafeBytes {{ Array($0.bindMemory(to: Float.self)) }}"""
    return Snippet(f"ONNX Runtime alone, {file.requires['onnxruntime']} or newer", SWIFT, text)


def python_onnxruntime(file: SnippetFile) -> Snippet:
    """Python for any machine."""
    level = file.session.get(LEVEL)
    optimisation = (
        f"\noptions.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}"
        if level
        else ""
    )
    text = f"""\
{file.header("#", comment)}
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

content = Path({file.path!r}).read_bytes()
assert hashlib.sha256(content).hexdigest() == {file.sha256!r}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {file.session["intra_op_num_threads"]}{optimisation}
session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

{python_pixels(file)}
(probs,) = session.run([{file.output.name!r}], {{{file.input.name!r}: pixels}})
print(dict(zip({python_labels(file)}, probs[0].tolist())))"""
    return Snippet(f"onnxruntime {file.requires['onnxruntime']} or newer", PYTHON, text)


SNIPPETS: Final[Sequence[SnippetMaker]] = (
    SnippetMaker("android", kotlin_onnxruntime),
    SnippetMaker("ios", _swift_onnxruntime),
    SnippetMaker("", python_onnxruntime),
)
