"""Code that loads a Core ML package by Core ML alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from export.formats.coreml.compute_units import COMPUTE_UNITS
from export.formats.snippet import (
    PYTHON,
    SWIFT,
    Snippet,
    SnippetFile,
    SnippetMaker,
    python_resized,
)
from export.formats.source_text import comment, swift_comment, swift_string


def _swift_coreml(file: SnippetFile) -> Snippet:
    columns, rows = file.input.shape
    name, answer = swift_string(file.input.name), swift_string(file.output.name)
    units = COMPUTE_UNITS[str(file.session["compute_units"])]
    text = f"""\
{file.header("//", swift_comment)}
// The .mlpackage in the app's bundle as it is (Copy Bundle Resources), not compiled by Xcode.
import CoreML

let file = Bundle.main.url(forResource: {swift_string(file.path)}, withExtension: nil)!
let configuration = MLModelConfiguration()
configuration.computeUnits = {units}
let compiled = try await MLModel.compileModel(at: file)
let model = try await MLModel.load(contentsOf: compiled, configuration: configuration)

// pixels: CVPixelBuffer, {columns} x {rows}, of the image
// {file.model.rule.sentence()}
let image = MLFeatureValue(pixelBuffer: pixels)
let input = try MLDictionaryFeatureProvider(dictionary: [{name}: image])
let output = try await model.prediction(from: input)
let probs = output.featureValue(for: {answer})!.dictionaryValue
// the probability of each label"""
    return Snippet(f"Core ML alone, iOS {file.requires['ios']} or newer", SWIFT, text)


def _python_coreml(file: SnippetFile) -> Snippet:
    units = str(file.session["compute_units"]).upper()
    numpy = "import numpy as np\n" if file.model.rule.fill else ""
    text = f"""\
{file.header("#", comment)}
import coremltools
{numpy}from PIL import Image, ImageOps

model = coremltools.models.MLModel({file.path!r}, compute_units=coremltools.ComputeUnit.{units})

{python_resized(file.model.rule)}
print(model.predict({{{file.input.name!r}: resized}})[{file.output.name!r}])"""
    return Snippet("coremltools, on a Mac alone", PYTHON, text)


SNIPPETS: Final[Sequence[SnippetMaker]] = (
    SnippetMaker("ios", _swift_coreml),
    SnippetMaker("", _python_coreml),
)
