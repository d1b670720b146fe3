"""The checkpoint: the seam between training and export. A folder with two files, and no pickle.

``checkpoint.json``   everything about the model (`pipeline.model_spec`), and the hash of the
weights
``model.safetensors`` the weights, by the names of the plain torch module in
`pipeline.models.networks`
``program.json``      if there is one: the network itself, operation by operation
(`pipeline.program`), of an architecture that no library builds by its name
``owner.json``        if there is one: the owner's words (`pipeline.model_spec.Owner`), with the
pictures that they name below ``examples/``

A compressed checkpoint (`python -m pipeline compress`) is a folder of the same kind inside its
parent's, named by its precision. Its weights lie on grids (`pipeline.quantization_grid`): in place
of ``NAME`` the file holds ``NAME.codes``, int8, and ``NAME.scale``.

`open_checkpoint` reads and checks the JSON, once; the `Checkpoint` it returns is passed on, to
other processes too. A checkpoint is identified by the SHA-256 of its JSON, which holds the SHA-256
of the weights and of the program: one hash binds labels, normalisation, threshold, every operation
and every weight. The owner's words are not bound: they can be mended without another model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.architecture_names import is_program
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256
from pipeline.json_files import (
    JsonObject,
    plain,
    read_json,
    structure,
    to_json,
    validate,
    write_json,
)
from pipeline.model_spec import ModelSpec, Owner
from pipeline.quantization_grid import Grid, check_grid
from pipeline.resize.notation import read_resize

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.program.program import Program

SCHEMA: Final = 1
COMPRESSED_SCHEMA: Final = 2  # what a compressed checkpoint adds, no earlier version can read
HEAD_SCHEMA: Final = 3  # another head than that of `pipeline train`, compressed or not
RESIZE_SCHEMA: Final = 4  # another resize than a squish to a square; compressed or not
PROGRAM_SCHEMA: Final = 5  # a network kept as a program; with any resize, compressed or not
SPEC_FILE: Final = "checkpoint.json"
SCHEMA_FILE: Final = Path(__file__).parent / "checkpoint.schema.json"
WEIGHTS_FILE: Final = "model.safetensors"
PROGRAM_FILE: Final = "program.json"
OWNER_SCHEMA: Final = 1
OWNER_FILE: Final = "owner.json"
OWNER_SCHEMA_FILE: Final = Path(__file__).parent / "owner.schema.json"
OWNER_WAY_OUT: Final = "mend it, or remove it for neutral words"
CODES: Final = ".codes"
SCALE: Final = ".scale"
WAY_OUT: Final = "train or copy it again; `python -m pipeline train` makes one"

RELEASED: Final = Path(__file__).parent / "released" / "squeezenet_cxr"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose JSON was read and checked; equal by folder and identity.

    Attributes:
        folder: where it is.
        spec: what it says about its model.
        sha256: its identity, the SHA-256 of its JSON.
        weights_sha256: of its weights file, as the JSON says.
        program_sha256: of its program file, as the JSON says; None: a library builds the network.
        opened: the compressed checkpoints in its folder that have been opened, by precision.
    """

    folder: Path
    spec: ModelSpec = field(compare=False, repr=False)
    sha256: str
    weights_sha256: str
    program_sha256: str | None = None
    opened: dict[str, Checkpoint] = field(default_factory=dict, compare=False, repr=False)

    def weights(self) -> dict[str, Tensor]:
        """Read the weights, after checking them against their hash.

        Weights on a grid are returned as floating-point numbers.

        Raises:
            BadInput: the file is missing, damaged, or not the one that the JSON names.
        """
        import torch

        tensors = self._tensors()
        grids = self._grids(tensors)
        on_grids = {name + part for name in grids for part in (CODES, SCALE)}
        plain = {name: tensor for name, tensor in tensors.items() if name not in on_grids}
        return plain | {name: torch.from_numpy(grid.weights()) for name, grid in grids.items()}

    def program(self) -> Program | None:
        """The network that is kept as a program, with its weights; None if it is built by its name.

        Raises:
            BadInput: the program or the weights are missing, damaged or of another checkpoint, or
                the program has another number of outputs than there are labels.
        """
        document = self.program_document()
        if document is None:
            return None
        from pipeline.program.program import shapes
        from pipeline.program.reading import program_of

        path = self.folder / PROGRAM_FILE
        program = program_of(document, self.weights(), str(path))
        outputs, labels = shapes(program)[program.outputs()[0]][-1], len(self.spec.labels)
        if outputs != labels:
            raise BadInput(f"{path} has {outputs} outputs, and there are {labels} labels")
        return program

    def program_document(self) -> JsonObject | None:
        """What the program's file says, its hash checked; None if there is no program.

        Raises:
            BadInput: the file is missing or damaged.
        """
        if self.program_sha256 is None:
            return None
        path = self.folder / PROGRAM_FILE
        document = read_json(path, what="program", way_out=WAY_OUT)
        self._check_hash(path, file_sha256(path), self.program_sha256)
        return document

    def grids(self) -> dict[str, Grid]:
        """The weights of a compressed checkpoint that lie on a grid, by name; none of a plain one.

        Raises:
            BadInput: as `weights`, or for an invalid grid.
        """
        return {} if self.spec.compression is None else self._grids(self._tensors())

    def has_variant(self, precision: str) -> bool:
        """Whether its folder holds a compressed checkpoint of this precision."""
        return (self.folder / precision / SPEC_FILE).is_file()

    def variant(self, precision: str) -> Checkpoint:
        """The compressed checkpoint of this precision, opened when it is first asked for.

        Raises:
            BadInput: as `open_checkpoint`, or it was compressed from another checkpoint.
        """
        if precision not in self.opened:
            found = open_checkpoint(self.folder / precision)
            self._refuse_other_parent(found)
            self.opened[precision] = found
        return self.opened[precision]

    def _refuse_other_parent(self, compressed: Checkpoint) -> None:
        compression = compressed.spec.compression
        parent_sha256 = compression.parent_sha256 if compression else "none"
        if parent_sha256 != self.sha256:
            raise BadInput(
                f"{compressed.folder} was compressed from another checkpoint "
                f"({parent_sha256[:12]}) than the one it lies in ({self.sha256[:12]}); compress "
                "again, or remove it"
            )

    def _grids(self, tensors: Mapping[str, Tensor]) -> dict[str, Grid]:
        import torch

        compression, path = self.spec.compression, self.folder / WEIGHTS_FILE
        grids = {}
        for name, levels in (compression.levels if compression else {}).items():
            try:
                codes, scale = (tensors[name + part] for part in (CODES, SCALE))
            except KeyError as error:
                raise BadInput(f"{path} lacks {error}; compress again") from error
            if codes.dtype != torch.int8 or scale.dtype != torch.float32:
                raise BadInput(f"{path}: {name} is not int8 codes and float32 scale")
            grids[name] = Grid(codes.numpy(), scale.numpy(), levels)
            check_grid(grids[name], f"{path}: {name}")
        return grids

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of the weights file, its hash checked."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.folder / WEIGHTS_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from error
        self._check_hash(path, hashlib.sha256(content).hexdigest(), self.weights_sha256)
        try:
            return load(content)
        except SafetensorError as error:
            raise BadInput(f"{path} is not a safetensors file: {error}") from error

    @staticmethod
    def _check_hash(path: Path, found: str, expected: str) -> None:
        if found != expected:
            raise BadInput(
                f"{path} is damaged or of another checkpoint: SHA-256 {found[:12]}..., "
                f"{SPEC_FILE} names {expected[:12]}...; copy the folder again"
            )


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read and check what `folder` says about its model; the weights are not read.

    Raises:
        BadInput: no checkpoint there, another schema, or contents that contradict each other.
    """
    path = folder / SPEC_FILE
    document = read_json(
        path,
        what="checkpoint",
        way_out=WAY_OUT,
        versions=(SCHEMA, COMPRESSED_SCHEMA, HEAD_SCHEMA, RESIZE_SCHEMA, PROGRAM_SCHEMA),
        schema=SCHEMA_FILE,
    )
    if "compression" in document:
        levels = document["compression"]["levels"]  # to JSON's schema 3.0 is an integer too
        document["compression"]["levels"] = {name: int(most) for name, most in levels.items()}
    try:
        resize = read_resize(document["resize"], document.pop("side"))
    except BadInput as error:
        raise BadInput(f"{path}: {error}; {WAY_OUT}") from error
    spec = structure({**document, "resize": asdict(resize)}, ModelSpec, str(path), WAY_OUT)
    _check_spec(spec, path)
    home = folder if spec.compression is None else folder.resolve().parent
    spec = replace(spec, owner=read_owner(home))
    program_sha256 = document.get("program", {}).get("sha256")
    return Checkpoint(
        folder, spec, file_sha256(path), document["weights"]["sha256"], program_sha256
    )


def read_owner(folder: Path) -> Owner:
    """The owner's words in a checkpoint's folder; neutral ones if there are none.

    Raises:
        BadInput: they are damaged, or of another schema.
    """
    path = folder / OWNER_FILE
    if not path.exists():
        return Owner()
    document = read_json(
        path,
        what="owner's words",
        way_out=OWNER_WAY_OUT,
        versions=(OWNER_SCHEMA,),
        schema=OWNER_SCHEMA_FILE,
    )
    # msgspec leaves defaults to the class, and does not write again what it left there.
    return replace(structure(document, Owner, str(path), OWNER_WAY_OUT))


def owner_document(owner: Owner) -> JsonObject:
    """The contents of ``owner.json``: what differs from the neutral words.

    Raises:
        BadInput: a text or path that the schema does not allow.
    """
    neutral = plain(Owner())
    said = {name: value for name, value in plain(owner).items() if value != neutral[name]}
    document = {"schema": OWNER_SCHEMA, **said}
    validate(document, OWNER_SCHEMA_FILE, OWNER_FILE, "say it in other words")
    return document


def _check_spec(spec: ModelSpec, path: Path) -> None:
    """What must hold between fields, which no schema can express."""
    if spec.positive is not None and spec.positive not in spec.labels:
        raise BadInput(f"{path}: positive label {spec.positive!r} is not among the labels")
    if (spec.positive is None) != (spec.threshold is None):
        raise BadInput(
            f"{path}: a threshold needs a positive label, and a positive label a threshold"
        )
    if spec.positive is not None and len(spec.labels) > 2:
        raise BadInput(f"{path}: a positive label needs two labels, there are {len(spec.labels)}")


def write_checkpoint(
    folder: Path,
    spec: ModelSpec,
    weights: Mapping[str, Tensor],
    grids: Mapping[str, Grid] | None = None,
    program: JsonObject | None = None,
) -> Checkpoint:
    """Write the files of a checkpoint into an existing, staged `folder`; return it, open.

    The caller stages (`pipeline.atomic_files`), since its own files may go into the same folder.
    Weights that are among `grids` are written as codes and scale. The owner's words are written
    where they are not the neutral ones; a compressed checkpoint has those of its parent.

    Args:
        program: of a network that no library builds (`pipeline.program.writing.document`), whose
            tensors `weights` are; the spec's architecture then says so.
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
    weights_sha256 = hashlib.sha256(content).hexdigest()
    values = {**asdict(spec), "side": spec.resize.side, "resize": spec.resize.document()}
    del values["owner"]
    if spec.owner != Owner() and spec.compression is None:
        write_json(folder / OWNER_FILE, owner_document(spec.owner))
    for name in ("compression", "head"):
        if values[name] is None:
            del values[name]
    document = {
        "schema": _schema(spec),
        **values,
        "weights": {
            "file": WEIGHTS_FILE,
            "parameters": sum(tensor.numel() for tensor in weights.values()),
            "sha256": weights_sha256,
            "size_bytes": len(content),
        },
    }
    program_sha256 = None
    assert is_program(spec.architecture) == (program is not None)
    if program is not None:
        operations = to_json(program).encode()
        program_sha256 = hashlib.sha256(operations).hexdigest()
        document["program"] = {"file": PROGRAM_FILE, "sha256": program_sha256}
        (folder / PROGRAM_FILE).write_bytes(operations)
    text = to_json(document)
    (folder / WEIGHTS_FILE).write_bytes(content)
    (folder / SPEC_FILE).write_text(text, encoding="utf-8")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Checkpoint(folder, spec, sha256, weights_sha256, program_sha256)


def _schema(spec: ModelSpec) -> int:
    """The earliest schema that can express the spec."""
    if is_program(spec.architecture):
        return PROGRAM_SCHEMA
    if spec.resize.method != "squish" or spec.resize.size != (spec.resize.side,) * 2:
        return RESIZE_SCHEMA
    if spec.head is not None:
        return HEAD_SCHEMA
    return SCHEMA if spec.compression is None else COMPRESSED_SCHEMA
