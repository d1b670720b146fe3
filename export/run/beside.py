"""What stands beside the models of a published folder: code, READMEs, golden pack, configurations.

In: a checkpoint and where the files of the models are. Out: `ExtraFiles`, for an export; or
published folders with all of it written again by this version (``python -m export refresh``).
Whatever was measured stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from export.deploy.variants import variant_checkpoint
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.golden.pack import golden_files
from export.manifest.manifest import SCHEMA, Manifest, read_manifest
from export.packages import package_code
from export.parity.reference import References, build_references
from export.publish.assets import FOLDERS, publish_again
from export.publish.build_manifest import model_entry
from export.publish.derived import derived_entry
from export.publish.examples import example_files
from export.run.check_published import damaged_files
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.publish.assets import ExtraFiles
    from pipeline.checkpoint import Checkpoint


def files_beside(
    examples: Mapping[str, bytes],
    references: References,
    models: Mapping[str, Sequence[tuple[str, Path]]],
    optimised: Path,
) -> list[ExtraFiles]:
    """Pictures of the owner, configurations of onnxruntime's build, golden pack and code.

    Args:
        examples: of `export.publish.examples`.
        references: the checkpoint on the golden images, among others.
        models: platform -> format and file of its artifacts.
        optimised: an empty folder, for what onnxruntime makes of them.
    """

    def operator_configs(platform: str, manifest: Manifest) -> Mapping[str, bytes]:
        from export.publish import reduced_build

        run_by_it = [
            path
            for name, path in models[platform]
            if FORMATS[name].runtime == reduced_build.RUNTIME
        ]
        return reduced_build.operator_configs(run_by_it, optimised)

    return [
        lambda platform, _: examples if platform == "web" else {},
        operator_configs,
        lambda _, manifest: golden_files(manifest, references),
        package_code,
    ]


def refresh(
    root: Path, checkpoint: Path, say: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Write the folders below `root` again, those that there are; return them.

    Raises:
        BadInput: none is there, one is of another checkpoint or of an earlier release, a file of a
            model is not the one that its manifest lists, or is of another variant.
    """
    opened = open_checkpoint(checkpoint)
    there = {platform: root / name for platform, name in FOLDERS.items() if (root / name).exists()}
    if not there:
        raise BadInput(f"none of {', '.join(FOLDERS.values())} is in {root}; give --assets")
    manifests = {platform: _derived(folder, opened) for platform, folder in there.items()}
    say("PyTorch's answers for the golden images")
    references = build_references(opened, None, 1)
    models = {
        platform: [(entry.format, there[platform] / entry.path) for entry in manifest.artifacts]
        for platform, manifest in manifests.items()
    }
    with TemporaryDirectory() as optimised:
        extras = files_beside(example_files(opened), references, models, Path(optimised))
        return publish_again(root, manifests, extras)


def _derived(folder: Path, checkpoint: Checkpoint) -> Manifest:
    """A folder's manifest with all that follows from the checkpoint and the files."""
    manifest = read_manifest(folder)
    if manifest.model.checkpoint_sha256 != checkpoint.sha256:
        raise BadInput(f"{folder} is of another checkpoint than {checkpoint.folder}; name its own")
    if manifest.schema != SCHEMA:
        raise BadInput(f"{folder} is of an earlier release; export again")
    entries = []
    for entry in manifest.artifacts:
        if fault := damaged_files(folder, entry):
            raise BadInput(f"{folder}: {fault}; only whole files are published again")
        variant = FORMATS[entry.format].precisions[entry.precision].variant
        identity = variant_checkpoint(checkpoint, variant).sha256
        if entry.checkpoint_sha256 != identity:
            raise BadInput(
                f"{folder / entry.path} is of another {variant} than {checkpoint.folder} has; "
                "export again"
            )
        description = verbs_of(entry.format).describe(folder / entry.path)
        entries.append(derived_entry(entry, description, identity))
    model = model_entry(checkpoint.spec, checkpoint.sha256)
    return replace(manifest, model=model, artifacts=tuple(entries))
