"""``python -m export check``: are the published files intact, of this checkpoint, and right?

Nothing is converted. In: the asset folders and a checkpoint. Out: a row per artifact.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from export.deploy.outputs import EVIDENCE
from export.deploy.variants import missing_variant
from export.formats.base import verbs_of
from export.formats.description import FileEntry
from export.formats.register import FORMATS
from export.golden.replay import published_faults
from export.golden.yardstick import pack_faults
from export.manifest.manifest import (
    MANIFEST_FILE,
    SUM_FILE,
    ArtifactEntry,
    Manifest,
    read_manifest,
)
from export.parity.check import ParityResult, check_artifact, check_outputs
from export.parity.quality_gate import judge_quality
from export.parity.reading import Reading
from export.publish.assets import FOLDERS, LABELS_FILE, README_FILE
from export.publish.derived import entry_faults, folder_faults
from export.report.document import VerdictRow
from export.runtimes.runners import foreign_runner, runs_emulated
from export.verify import FOLDERS_OF_BUILDS, CannotCheck, verify
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from pipeline.file_hash import file_sha256

if TYPE_CHECKING:
    from export.parity.reference import Reference, References
    from export.runtimes.environments import Target
    from pipeline.model_spec import ModelSpec

WHOLE = ""  # in place of an artifact's path: the folder
BESIDE = {MANIFEST_FILE, LABELS_FILE, README_FILE}  # what a manifest of schema 2 does not list


def check_published(
    root: Path,
    checkpoint: Path,
    data: Path | None,
    image_limit: int,
    target: Target | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[VerdictRow], str]:
    """Check the asset folders below `root`; return the rows and what was compared on.

    With a `target` the Android files are run by foreign builds of their runtimes instead of the
    installed ones: ``arm64``, or the ``oldest`` that the manifest promises. `say` gets a line for
    each that is done. Where they are emulated, `image_limit` counts all images, and the most
    telling ones are taken; the phrase says so.

    Raises:
        BadInput: a manifest is missing or damaged, or checkpoint or data are bad.
    """
    platforms = FOLDERS if target is None else {"android": FOLDERS["android"]}
    manifests = {platform: read_manifest(root / name) for platform, name in platforms.items()}

    from export.parity.reference import build_references
    from export.parity.telling_images import telling_references

    references = build_references(open_checkpoint(checkpoint), data, image_limit)
    made_of = {_variant(artifact) for m in manifests.values() for artifact in m.artifacts}
    present = [t for t in made_of if t and not missing_variant(references.checkpoint, t)]
    if target is not None and runs_emulated(target):
        references = telling_references(references, present, image_limit)
    references.complete(present)
    baseline = references.of("fp32")
    known: Known = {}
    jobs = [
        (
            artifact,
            partial(_check, platform, folder, damage, references, data, target, known, artifact),
        )
        for platform, manifest in manifests.items()
        for folder in [root / FOLDERS[platform]]
        for artifact, damage in _damaged(folder, manifest, baseline)
    ]
    checked = iter(_side_by_side(jobs, target, say))
    rows = []
    for platform, manifest in manifests.items():
        found = {artifact.path: next(checked) for artifact in manifest.artifacts}
        answers = {path: row.parity.probs for path, row in found.items()}
        folder = root / FOLDERS[platform]
        golden = published_faults(manifest, folder, references, answers)
        derived = {} if target else _derived_faults(platform, folder, manifest, references, found)
        for path, row in found.items():
            row = _with_part(row, "golden", "golden pack: ", golden.get(path))
            rows.append(_with_part(row, "derived", "", derived.get(path)))
    return rows, references.images.source


def _variant(artifact: ArtifactEntry) -> str | None:
    """The variant that a listed file is made of; None: unknown to this version."""
    known = FORMATS.get(artifact.format)
    precision = known.precisions.get(artifact.precision) if known else None
    return precision.variant if precision else None


Job = tuple[ArtifactEntry, Callable[[], VerdictRow]]
# Name, bytes and whether it needs evidence -> the result: a file may lie in several folders.
Known = dict[tuple[str, str, bool, tuple[tuple[str, str], ...]], ParityResult]


def _side_by_side(
    jobs: Sequence[Job], target: Target | None, say: Callable[[str], None]
) -> list[VerdictRow]:
    """The rows of `jobs`, in their order; of a foreign runtime as many at once as processors.

    It gets a process for each file. Files for the installed runtimes are checked one after another:
    torch.fx, which traces networks, patches all modules of the process meanwhile, and torch's
    engine for integer kernels is a setting of the process.
    """
    if target is None:
        return [job() for _, job in jobs]
    done: list[VerdictRow] = []

    def work(job: Callable[[], VerdictRow]) -> VerdictRow:
        row = job()
        done.append(row)
        say(f"{len(done)} of {len(jobs)}: {row.format} {row.precision} {row.parity.status}")
        return row

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, [job for _, job in jobs]))


def _check(
    platform: str,
    folder: Path,
    damage: str,
    references: References,
    data: Path | None,
    target: Target | None,
    known: Known,
    artifact: ArtifactEntry,
) -> VerdictRow:
    key = (artifact.format, artifact.precision)
    if key[0] not in FORMATS or key[1] not in FORMATS[key[0]].precisions:
        raise BadInput(f"{folder / MANIFEST_FILE} lists {key[0]} {key[1]}, unknown to this version")
    precision = FORMATS[key[0]].precisions[key[1]]
    tolerance, arithmetic, variant = precision.tolerance, precision.arithmetic, precision.variant
    path = folder / artifact.path
    absent = missing_variant(references.checkpoint, variant, data)
    if damage:
        parity = ParityResult("fail", damage, tolerance=tolerance)
        return VerdictRow(*key, platform, parity, size_bytes=artifact.size_bytes)
    if absent:
        parity = ParityResult("not_run", absent, tolerance=tolerance)
        return VerdictRow(*key, platform, parity, size_bytes=artifact.size_bytes)
    reference = references.of(variant)
    # The manifest says whether a file has evidence; earlier releases had none.
    needs_evidence = any(port.name == EVIDENCE for port in artifact.outputs)
    if target is None:
        same = (*key, needs_evidence, tuple((f.path, f.sha256) for f in artifact.files))
        if same not in known:
            known[same] = check_artifact(*key, path, reference, needs_evidence)
        parity = known[same]
    else:
        runner, file = foreign_runner(target, key[0]), Reading(verbs_of(key[0]), path)
        reason = f"there is no {target} build of its runtime to run it with"
        parity = (
            check_outputs([runner], file, reference, tolerance, arithmetic, needs_evidence)
            if runner
            else ParityResult("not_run", reason, tolerance=tolerance)
        )
    passed = parity.status == "pass"
    gate_result = (
        judge_quality(key[1], parity, reference.spec, references.of("fp32")) if passed else None
    )
    if gate_result and gate_result.broken:
        accepted = artifact.accuracy is not None and artifact.accuracy.accepted is True
        gate_result = replace(gate_result, accepted=accepted)
    if gate_result and gate_result.keeps_back:  # published, but should not have been
        parity = replace(parity, status="fail", reason="; ".join(gate_result.broken))
    return VerdictRow(
        *key,
        platform,
        parity,
        size_bytes=artifact.size_bytes,
        latency=artifact.latency_ms,
        gate_result=gate_result,
    )


def _with_part(row: VerdictRow, part: str, about: str, fault: str | None) -> VerdictRow:
    """The row with one more part of the check; `fault` None: there is nothing to check."""
    if fault is None or row.parity.status != "pass":
        return row
    parts = {**row.parity.parts, part: fault or "pass"}
    if not fault:
        return replace(row, parity=replace(row.parity, parts=parts))
    reason = f"{about}{fault}"
    return replace(row, parity=replace(row.parity, status="fail", reason=reason, parts=parts))


def _derived_faults(
    platform: str,
    folder: Path,
    manifest: Manifest,
    references: References,
    found: Mapping[str, VerdictRow],
) -> dict[str, str]:
    """Artifact's path -> what its entry, or else the whole folder, says that is not so, or "".

    A manifest of an earlier schema lists no files; nothing is derived of it.
    """
    if not manifest.lists_files:
        return {}
    passed = [entry for entry in manifest.artifacts if found[entry.path].parity.status == "pass"]
    if not passed:
        return {}
    whole = next(
        chain(
            folder_faults(platform, folder, manifest, references.checkpoint, passed),
            pack_faults(manifest, folder, references),
        ),
        "",
    )
    return {
        entry.path: next(
            entry_faults(
                entry,
                verbs_of(entry.format).describe(folder / entry.path),
                references.of(str(_variant(entry))).checkpoint_sha256,
            ),
            whole,
        )
        for entry in passed
    }


def damaged_files(folder: Path, artifact: ArtifactEntry) -> str:
    """How the files of one artifact differ from its manifest entry; empty: they do not."""
    root = folder / artifact.path
    present = (
        _files_below(root, folder)
        if root.is_dir()
        else {root.name} & {p.name for p in folder.iterdir()}
    )
    return _damage(folder, artifact.files, present)


def _damage(folder: Path, entries: Sequence[FileEntry], present: set[str]) -> str:
    listed = {entry.path: entry for entry in entries}
    faults = [f"{path} is missing" for path in sorted(listed.keys() - present)]
    faults += [f"{path} is not in the manifest" for path in sorted(present - listed.keys())]
    for path in sorted(present & listed.keys()):
        size = (folder / path).stat().st_size
        if size != listed[path].size_bytes:
            faults.append(f"{path} has {size} bytes, not {listed[path].size_bytes}")
        elif file_sha256(folder / path) != listed[path].sha256:
            faults.append(f"{path} has changed: its SHA-256 is not the manifest's")
    return "; ".join(faults)


def _files_below(root: Path, folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in root.rglob("*") if p.is_file()}


def _stale(folder: Path, manifest: Manifest, spec: ModelSpec, identity: str) -> str:
    """What makes the whole folder wrong: another checkpoint, labels, resize, stray files."""
    model = manifest.model
    if model.checkpoint_sha256 != identity:
        return (
            f"made from another checkpoint ({model.name} {model.version}, "
            f"{model.checkpoint_sha256[:12]}), not from {spec.name} {spec.version} "
            f"({identity[:12]}); export again, or name it with --checkpoint"
        )
    try:
        labels = (folder / LABELS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{LABELS_FILE} is missing"
    except UnicodeDecodeError:
        return f"{LABELS_FILE} is damaged: not UTF-8"
    if tuple(labels) != spec.labels or model.labels != spec.labels:
        return f"{LABELS_FILE} or manifest names other labels than the checkpoint"
    if model.rule != spec.resize:
        said, held = (f"{rule.method} to {rule.pixels}" for rule in (model.rule, spec.resize))
        return f"the manifest says that images are resized by {said}, the checkpoint by {held}"
    return _damage_beside(folder, manifest)


def _damaged(
    folder: Path, manifest: Manifest, baseline: Reference
) -> Iterator[tuple[ArtifactEntry, str]]:
    """Every artifact of a folder, and what keeps it from being read; empty: nothing."""
    refused = _refused_by_users(folder, manifest)
    whole = _stale(folder, manifest, baseline.spec, baseline.checkpoint_sha256)
    whole = whole or refused.get(WHOLE, "")
    for artifact in manifest.artifacts:
        own = damaged_files(folder, artifact) or refused.get(artifact.path, "")
        yield artifact, whole or own


def _refused_by_users(folder: Path, manifest: Manifest) -> dict[str, str]:
    """What `export verify` refuses: an artifact's path, or `WHOLE`, -> the first that differs."""
    try:
        found = verify(folder).differences
    except CannotCheck as error:
        return {WHOLE: str(error)}
    tops = {artifact.path for artifact in manifest.artifacts}
    refused: dict[str, str] = {}
    for difference in found:
        top = difference.path.split("/")[0]
        place = top if top in tops else WHOLE
        refused.setdefault(place, f"{difference.path}: {difference.message}")
    return refused


def _damage_beside(folder: Path, manifest: Manifest) -> str:
    """What is wrong with the files that belong to no artifact; schema 2 lists none of them."""
    listed = {entry.path for entry in manifest.files}
    apart = {artifact.path for artifact in manifest.artifacts}
    apart |= {MANIFEST_FILE, SUM_FILE} if manifest.lists_files else BESIDE
    beside = [p for p in folder.iterdir() if p.name not in {*apart, *FOLDERS_OF_BUILDS}]
    present = {path for place in beside for path in _files_below(place, folder) or {place.name}}
    # Hidden files come from a desktop (.DS_Store) and reach no app.
    present = {path for path in present if path in listed or not path.startswith(".")}
    return _damage(folder, manifest.files, present)
