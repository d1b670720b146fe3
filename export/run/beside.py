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

from export.formats.register import FORMATS
from export.golden.pack import golden_files
from export.manifest.manifest import SCHEMA, Manifest, read_manifest
from export.packages import package_code
from export.parity.reference import References, build_references
from export.publish.assets import FOLDERS, publish_again
from export.publish.build_manifest import model_entry
from export.publish.examples import example_files
from export.run.check_published import damaged_files
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.publish.assets import ExtraFiles


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
            model is not the one that its manifest lists.
    """
    opened = open_checkpoint(checkpoint)
    there = {platform: root / name for platform, name in FOLDERS.items() if (root / name).exists()}
    if not there:
        raise BadInput(f"none of {', '.join(FOLDERS.values())} is in {root}; give --assets")
    manifests = {platform: read_manifest(folder) for platform, folder in there.items()}
    for platform, manifest in manifests.items():
        folder = there[platform]
        if manifest.model.checkpoint_sha256 != opened.sha256:
            raise BadInput(f"{folder} is of another checkpoint than {checkpoint}; name its own")
        if manifest.schema != SCHEMA:
            raise BadInput(f"{folder} is of an earlier release; export again")
        for artifact in manifest.artifacts:
            if fault := damaged_files(folder, artifact):
                raise BadInput(f"{folder}: {fault}; only whole files are published again")
    say("PyTorch's answers for the golden images")
    references = build_references(opened, None, 1)
    model = model_entry(opened.spec, opened.sha256)
    models = {
        platform: [(entry.format, there[platform] / entry.path) for entry in manifest.artifacts]
        for platform, manifest in manifests.items()
    }
    with TemporaryDirectory() as optimised:
        extras = files_beside(example_files(opened), references, models, Path(optimised))
        again = {
            platform: replace(manifest, model=model) for platform, manifest in manifests.items()
        }
        return publish_again(root, again, extras)
