"""Code that loads a TorchScript-lite file by the lite interpreter alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from export.formats.snippet import (
    KOTLIN,
    PYTHON,
    Snippet,
    SnippetFile,
    SnippetMaker,
    numbers,
    python_labels,
    python_pixels,
)
from export.formats.source_text import comment, kotlin
from export.formats.torchscript.android import ARTIFACT

LITE_ENGINE: Final = {"int8": '\ntorch.backends.quantized.engine = "qnnpack"'}


def _kotlin_lite(file: SnippetFile) -> Snippet:
    version = file.requires["pytorch_lite"]
    shape = file.input.shape
    answer = ".toTuple()[0]" if file.mapped else ""
    text = f"""\
{file.header("//", comment)}
// build.gradle.kts: implementation("{ARTIFACT}:{version}")
import java.io.File
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.LitePyTorchAndroid
import org.pytorch.Tensor

LitePyTorchAndroid.setNumThreads({file.session["num_threads"]})
// The loader takes a path only.
val copy = File(context.noBackupFilesDir, {kotlin(file.path)})
context.assets.open(copy.name).use {{ from -> copy.outputStream().use {{ from.copyTo(it) }} }}
val module = LiteModuleLoader.load(copy.path)

// rgb: ByteArray, {shape[2]} x {shape[1]} pixels, rows first, R G B each
val image = Tensor.fromBlobUnsigned(rgb, longArrayOf({numbers(shape)}))
val probs = module.forward(IValue.from(image)){answer}.toTensor().dataAsFloatArray"""
    return Snippet(f"PyTorch lite alone, {version}", KOTLIN, text)


def _python_lite(file: SnippetFile) -> Snippet:
    first = "[0]" if file.mapped else ""
    text = f"""\
{file.header("#", comment)}
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.jit.mobile import _load_for_lite_interpreter

path = Path({file.path!r})
assert hashlib.sha256(path.read_bytes()).hexdigest() == {file.sha256!r}
torch.set_num_threads({file.session["num_threads"]}){LITE_ENGINE.get(file.precision, "")}
module = _load_for_lite_interpreter(str(path))

{python_pixels(file)}
with torch.inference_mode():
    probs = module(torch.from_numpy(pixels)){first}
print(dict(zip({python_labels(file)}, probs[0].tolist())))"""
    return Snippet("The lite interpreter in torch", PYTHON, text)


SNIPPETS: Final[Sequence[SnippetMaker]] = (
    SnippetMaker("android", _kotlin_lite),
    SnippetMaker("", _python_lite),
)
