"""The checkpoint: the seam between training and export. A folder with two files, and no pickle.

``checkpoint.json``   everything about the model (`ModelSpec`), and the hash of the weights
``model.safetensors`` the weights, by the names of the plain torch module in
`pipeline.models.networks`

A compressed checkpoint (`python -m pipeline compress`) is a folder of the same kind inside its
parent's, named by its precision. Its weights lie on grids (`pipeline.quantization_grid`): in place
of ``NAME`` the file holds ``NAME.codes``, int8, and ``NAME.scale``.

`read_spec` and `read_weights` raise `BadInput` for anything that is not whole. A checkpoint is
identified by the SHA-256 of its JSON, which holds the SHA-256 of the weights: one hash binds
labels, normalisation, threshold and every weight.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import BadInput
from pipeline.images import RESIZE_RULE
from pipeline.quantization_grid import Grid, check_grid

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA: Final = 1
COMPRESSED_SCHEMA: Final = 2  # what a compressed checkpoint adds, no earlier version can read
HEAD_SCHEMA: Final = 3  # another head than that of `pipeline train`, compressed or not
SPEC_FILE: Final = "checkpoint.json"
SCHEMA_FILE: Final = Path(__file__).parent / "checkpoint.schema.json"
WEIGHTS_FILE: Final = "model.safetensors"
CODES: Final = ".codes"
SCALE: Final = ".scale"
INTENDED_USE: Final = "Research only. Not a medical device; never use it for diagnosis."

RELEASED: Final = Path(__file__).parent / "released" / "squeezenet_cxr"


@dataclass(frozen=True)
class Head:
    """A head of dense layers behind pools, as fastai's `vision_learner` makes them.

    Attributes:
        pool: ``concat_pool``: the body's global maxima, then its global averages;
            ``average_pool``: the averages alone.
        hidden: outputs of each dense layer before the last, a ReLU behind each.
    """

    pool: str
    hidden: tuple[int, ...]


@dataclass(frozen=True)
class Compression:
    """How a compressed checkpoint came from its parent.

    Attributes:
        precision: ``int8``, ``w4`` or ``w3``, as in `pipeline.compress.recipes`.
        parent_sha256: identity of the checkpoint it was made from.
        levels: largest code of each weight on a grid, by the weight's name.
        activations: scale and zero point (uint8) of each activation, by its place in the network;
            empty where activations stay in floating point.
        comparison: with the parent, on the validation images
            (`pipeline.metrics.paired_comparison`).
    """

    precision: str
    parent_sha256: str
    levels: Mapping[str, int]
    activations: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """All that is known of a model but its weights.

    Attributes:
        name: identifier of the model, letters, digits and underscores; artifacts are named by it.
        version: of the trained model, raised with each release of new weights.
        architecture: a key of `pipeline.models.networks.NETWORKS`.
        labels: K class names; class order is output order, in every format.
        positive: the label that recall and threshold speak of; None for more than two classes.
        threshold: probability of `positive` from which on the decision is `positive`; None: argmax.
        side: width and height of the input in pixels.
        mean, std: per channel RGB, in units of pixel / 255.
        resize: the one resize rule (`pipeline.images`).
        metrics: on the validation images, each {value, low, high} or a plain number.
        training: the recipe and where the initial weights came from.
        data: name, fingerprint, images per split and label, how the split was made.
        tools: versions of the packages that made it.
        intended_use: goes into every artifact.
        compression: of a compressed checkpoint; None: weights are as trained.
        head: of an adopted fastai learner; None: the head of `pipeline.models.networks.Network`.
    """

    name: str
    version: str
    architecture: str
    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Mapping[str, Any] = field(default_factory=lambda: dict(RESIZE_RULE))
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    intended_use: str = INTENDED_USE
    compression: Compression | None = None
    head: Head | None = None

    @property
    def positive_index(self) -> int | None:
        """Position of the positive label in `labels`."""
        return None if self.positive is None else self.labels.index(self.positive)


def write_checkpoint(
    folder: Path,
    spec: ModelSpec,
    weights: Mapping[str, Tensor],
    grids: Mapping[str, Grid] | None = None,
) -> str:
    """Write the two files of a checkpoint into an existing, staged `folder`; return its SHA-256.

    The caller stages (`pipeline.atomic_files`), since its own files may go into the same folder.
    Weights that are among `grids` are written as codes and scale.
    """
    import torch
    from safetensors.torch import save

    grids = grids or {}
    tensors = {}
    for name, tensor in weights.items():
        if name in grids:
            tensors[name + CODES] = torch.from_numpy(grids[name].codes)
            tensors[name + SCALE] = torch.from_numpy(grids[name].scale)
        else:
            tensors[name] = tensor.detach().cpu()
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    values = asdict(spec)
    for name in ("compression", "head"):
        if values[name] is None:
            del values[name]
    document = {
        "schema": _schema(spec),
        **values,
        "weights": {
            "file": WEIGHTS_FILE,
            "parameters": sum(tensor.numel() for tensor in weights.values()),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        },
    }
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / WEIGHTS_FILE).write_bytes(content)
    (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def _schema(spec: ModelSpec) -> int:
    """The earliest schema that can say what the spec says."""
    if spec.head is not None:
        return HEAD_SCHEMA
    return SCHEMA if spec.compression is None else COMPRESSED_SCHEMA


def read_spec(folder: Path) -> ModelSpec:
    """Read what `folder` says of its model; the weights are not touched.

    Raises:
        BadInput: no checkpoint there, another schema, or contents that contradict each other.
    """
    document = _read_document(folder)
    values: dict[str, Any] = {f.name: document.get(f.name) for f in fields(ModelSpec)}
    for name in ("labels", "mean", "std"):
        values[name] = tuple(values[name])
    if values["compression"] is not None:
        values["compression"] = _compression(values["compression"])
    if (head := values["head"]) is not None:
        values["head"] = Head(head["pool"], tuple(int(outputs) for outputs in head["hidden"]))
    spec = ModelSpec(**values)
    _check_spec(spec, folder / SPEC_FILE)
    return spec


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint folder, after checking them against their hash.

    Weights on a grid come as the floating-point numbers that they stand for.

    Raises:
        BadInput: the file is missing, damaged, or not the one that the JSON names.
    """
    import torch

    grids = read_grids(folder)
    on_grids = {name + part for name in grids for part in (CODES, SCALE)}
    plain = {k: v for k, v in _read_tensors(folder).items() if k not in on_grids}
    return plain | {name: torch.from_numpy(grid.weights()) for name, grid in grids.items()}


def read_grids(folder: Path) -> dict[str, Grid]:
    """The weights of a compressed checkpoint that lie on a grid, by name; none of a plain one.

    Raises:
        BadInput: as `read_weights`, or a grid that is none.
    """
    import torch

    compression = read_spec(folder).compression
    if compression is None:
        return {}
    tensors = _read_tensors(folder)
    grids = {}
    for name, levels in compression.levels.items():
        try:
            codes, scale = (tensors[name + part] for part in (CODES, SCALE))
        except KeyError as error:
            raise BadInput(f"{folder / WEIGHTS_FILE} lacks {error}; compress again") from error
        if codes.dtype != torch.int8 or scale.dtype != torch.float32:
            raise BadInput(f"{folder / WEIGHTS_FILE}: {name} is not int8 codes and float32 scale")
        grids[name] = Grid(codes.numpy(), scale.numpy(), levels)
        check_grid(grids[name], f"{folder / WEIGHTS_FILE}: {name}")
    return grids


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the weights file, its hash checked."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    document = _read_document(folder)
    path = folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    expected = document["weights"]["sha256"]
    if digest != expected:
        raise BadInput(
            f"{path} is damaged or of another checkpoint: SHA-256 {digest[:12]}..., "
            f"{SPEC_FILE} names {expected[:12]}...; copy the folder again"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise BadInput(f"{path} is not a safetensors file: {error}") from error


def _compression(document: Mapping[str, Any]) -> Compression:
    activations = {k: (float(s), int(z)) for k, (s, z) in document["activations"].items()}
    levels = {k: int(v) for k, v in document["levels"].items()}  # to JSON's schema 3.0 is one too
    return Compression(**{**document, "levels": levels, "activations": activations})


def checkpoint_sha256(folder: Path) -> str:
    """The identity of a checkpoint: SHA-256 of its JSON, which holds the hash of the weights."""
    try:
        return hashlib.sha256((folder / SPEC_FILE).read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"no checkpoint at {folder}: {error.strerror}") from error


def _read_document(folder: Path) -> dict[str, Any]:
    import jsonschema

    path = folder / SPEC_FILE
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise BadInput(
            f"no checkpoint at {folder}: {SPEC_FILE}: {error.strerror}; "
            "`python -m pipeline train` makes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found not in (SCHEMA, COMPRESSED_SCHEMA, HEAD_SCHEMA):
        raise BadInput(
            f"{path} has schema {found!r}, this version reads {SCHEMA} to {HEAD_SCHEMA}; "
            "train again, or use the project version that wrote it"
        )
    try:
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(document)
    except jsonschema.ValidationError as error:
        raise BadInput(
            f"{path} is damaged at {error.json_path}: {error.message}; train or copy it again"
        ) from error
    assert isinstance(document, dict)
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_spec(spec: ModelSpec, path: Path) -> None:
    """What must hold between the fields and no schema can say."""
    if spec.positive is not None and spec.positive not in spec.labels:
        raise BadInput(f"{path}: positive label {spec.positive!r} is not among the labels")
    if (spec.positive is None) != (spec.threshold is None):
        raise BadInput(f"{path}: a threshold belongs to a positive label, and the reverse")
    if spec.positive is not None and len(spec.labels) > 2:
        raise BadInput(f"{path}: a positive label needs two labels, there are {len(spec.labels)}")
