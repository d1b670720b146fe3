"""The section of ``web_assets/README.md`` on the page: to host it, and to use its classifier."""

from __future__ import annotations

import json
from textwrap import indent
from typing import Final

from export.deploy.outputs import EVIDENCE
from export.manifest.manifest import Manifest
from export.packages.web import default_model
from pipeline.terminal.markdown import shown

SECTION: Final = """\
## The page

This folder is a static page without a build step: it runs the model in the browser, by
`onnxruntime-web` compiled to WebAssembly, and sends nothing anywhere. {intended_use}

1. Put the runtime beside it. In the project that this folder is from,
   `python -m export web FOLDER --serve` makes `build/web` of this folder and serves it on this
   computer; without that project:

   ```sh
   npm ci
   mkdir runtime
   cp node_modules/onnxruntime-web/dist/ort.wasm.min.mjs runtime/ort.wasm.min.js
   cp node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs runtime/ort-wasm-simd-threaded.js
   gzip -9n < node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm \\
     > runtime/ort-wasm-simd-threaded.wasm.gzip
   ```

   That is enough to use the classifier. The page is kept offline only if it comes from that
   command, which also writes `files.js`: the hash of every file that may be kept.
2. Host `build/web` on any static host, by https (browsers give neither camera nor offline use
   without). Nothing is asked of the host but to serve `.js` as `text/javascript`, which
   all do: the runtime's `.wasm` is unpacked by the page, and there is one thread, so that no header
   for cross-origin isolation is needed. The page carries its Content-Security-Policy; send the same
   as a header if you can, since at the first visit the page's worker has none.
3. Or use the classifier in a page of your own:

   ```html
{usage}
   ```

   `model.intended_use` of the manifest belongs beside every answer{and_map}. Errors are
   `ClassifierError`: `kind` for programs, `message` for people. It decodes and runs where it is
   called; `modules/background.js` does the same in a worker.

The page starts with `{chosen}` ({precision}); the others can be chosen. The size and SHA-256 of a
model file are compared with the manifest before it is used, and the manifest with
`manifest.json.sha256`.

At the first visit the page keeps itself, the runtime, the manifest, the examples and that model
on the device, another model as soon as it is chosen. Each is hashed before it is kept. A new
release is fetched beside the old one and takes its place as a whole, when whoever looks at the page
says so.

What was tried, and where: headless Chromium on Linux, by the tests of the project: every precision
on the golden pack, the resize bit for bit against Pillow, offline use, updates, damaged files.
**Not run by us**: Firefox, Safari, phones. Browsers decode colour profiles, 16-bit and CMYK images
in ways of their own.

"""
USAGE: Final = """\
<script type="module">
  import {{ loadClassifier }} from "./{folder}/modules/classifier.js";

  const classifier = await loadClassifier({chosen});
  const answer = await classifier.classify(file);    // a File or Blob: PNG, JPEG, WebP
  console.log(answer.label, answer.probabilities);   // in the order of labels.txt
{heat_map}</script>"""
HEAT_MAP: Final = """\
  console.log(answer.evidence);                      // {rows, columns, values}, or null
"""


def html_usage(folder: str, mapped: bool, precision: str | None = None) -> str:
    """HTML that classifies one image by the folder's own modules.

    Args:
        folder: the asset folder's name.
        mapped: whether the model gives evidence.
        precision: of the model; None: the one that the page starts with.
    """
    return USAGE.format(
        folder=folder,
        chosen="" if precision is None else f"{{ model: {json.dumps(precision)} }}",
        heat_map=HEAT_MAP if mapped else "",
    )


def web_page_section(manifest: Manifest, folder: str) -> str:
    """Markdown; empty without an ONNX artifact. `folder` is the asset folder's name."""
    chosen = default_model(manifest)
    if chosen is None:
        return ""
    mapped = any(port.name == EVIDENCE for port in chosen.outputs)
    return SECTION.format(
        intended_use=shown(manifest.model.intended_use),
        usage=indent(html_usage(folder, mapped), "   "),
        chosen=chosen.path,
        precision=chosen.precision,
        and_map=" and every heat map" if mapped else "",
    )
