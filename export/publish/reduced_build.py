"""The operators that a build of onnxruntime needs to run the published files: its build's config.

The runtime is the larger part of an app's download, and onnxruntime can be built with chosen
operators only. In: ONNX and ORT files. Out: the text of two files for its build script, one with
the operators, one with the types of their inputs as well.

An ONNX file is optimised while it is loaded, and the level decides which operators are left;
folding constants runs operators that are gone afterwards. So all of them count: those in the file,
and those that each level leaves, for processors with and without onnxruntime's blocked layout.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from export.packages.folder_readme import OPERATORS_FILE, TYPES_FILE
from export.publish.build_manifest import tool_versions

RUNTIME: Final = "onnxruntime"  # whose files these are
LEVELS: Final = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
CHATTY: Final = "ort_format_model.utils"  # tells places of temporary files
BLOCKED_LAYOUT: Final = "NchwcTransformer"  # for x86: emulators


def operator_configs(models: Sequence[Path], optimised: Path) -> dict[str, bytes]:
    """File name -> content, of both configurations; empty if there are no models.

    Args:
        models: files ``.onnx`` and ``.ort``, whose names are listed in the head of the written
            files.
        optimised: a folder for what each level makes of them. What is there is taken: it takes the
            longest, and platforms share files.
    """
    if not models:
        return {}
    from onnxruntime.tools.ort_format_model import create_config_from_models

    logging.getLogger(CHATTY).setLevel(logging.WARNING)
    head = (
        f"# Operators of {', '.join(sorted(model.name for model in models))},\n"
        f"# as they are and as onnxruntime {tool_versions()[RUNTIME]} optimises them.\n"
    )
    configs = {}
    with tempfile.TemporaryDirectory() as place:
        written = list(_as_run(models, optimised))
        for name, with_types in ((OPERATORS_FILE, False), (TYPES_FILE, True)):
            create_config_from_models(written, Path(place) / name, with_types)
            lines = (Path(place) / name).read_text(encoding="utf-8").splitlines()
            # Its own head contains paths of this machine.
            rest = "".join(f"{line}\n" for line in lines if not line.startswith("#"))
            configs[name] = (head + rest).encode()
    return configs


def _as_run(models: Sequence[Path], place: Path) -> Iterator[Path]:
    """Every model in ORT format, as each level leaves it."""
    for model in models:
        if model.suffix == ".ort":
            yield model
            continue
        for level in LEVELS:
            for disabled in [[], [BLOCKED_LAYOUT]] if level == LEVELS[-1] else [[]]:
                target = place / f"{model.stem}_{level}{'_plain' * bool(disabled)}.ort"
                if not target.exists():
                    _write(model, level, disabled, target)
                yield target


def _write(model: Path, level: str, disabled: list[str], target: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning that the file is specific to this machine
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )
