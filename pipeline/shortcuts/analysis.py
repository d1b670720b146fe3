"""Does a classifier recognise what it looks for, or the source? What its images let it learn.

In: network, data set. Out: `Shortcuts`, and from it three files: ``shortcuts.json``,
``shortcuts.md`` (a page a person reads) and ``evidence.png``. A classifier can score by recognising
where an image was taken (DeGrave et al., Nature Machine Intelligence 2021).

The picture shows the images themselves: what is not to be shown stays in a build or checkpoint
folder and never goes into a repository. The released checkpoint's folder holds its JSON and weights
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.atomic_files import refuse_foreign, staged_folder
from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.data.sources import checkpoint_images
from pipeline.errors import BadInput, require
from pipeline.json_files import finite, write_json
from pipeline.metrics.bootstrap import Interval
from pipeline.metrics.classification import evaluate
from pipeline.shortcuts.evidence_maps import Border, Tile, choose_tiles, measure_border
from pipeline.shortcuts.findings import Shortcuts, WithinSource
from pipeline.shortcuts.inference import NO_BODY, NO_MAP, Readout, read_out
from pipeline.shortcuts.linear_probe import Probe, probe

if TYPE_CHECKING:
    from torch import nn

    from pipeline.checkpoint import Checkpoint
    from pipeline.data.dataset import Dataset, Sample
    from pipeline.model_spec import ModelSpec

SCHEMA: Final = 1
JSON_FILE: Final = "shortcuts.json"
PAGE_FILE: Final = "shortcuts.md"
PICTURE_FILE: Final = "evidence.png"
MOST_IMAGES: Final = 4000  # of a split; of more, this many are drawn: minutes, not hours
NO_SOURCE: Final = "the data name no source; a table with a column `source` does"


def report_shortcuts(
    checkpoint: Path,
    data: Path | None,
    out: Path | None = None,
    *,
    seed: int = 2,
    threads: int = 0,
    overwrite: bool = False,
) -> Path:
    """Analyse an existing checkpoint; write the three files and return their folder.

    Args:
        checkpoint: its folder.
        data: the images it was trained on (`pipeline.data.dataset`); None: the synthetic phantoms.
        out: the folder to be written; default ``build/shortcuts/<name>``.
        seed: of which images are shown, and analysed where there are very many.
        threads: of torch on the CPU, 0 for all cores.
        overwrite: replace `out` if it exists.

    Raises:
        BadInput: a bad checkpoint, bad data or data of other labels, or `out` exists.
        MissingDependency: scikit-learn or matplotlib is not installed.
    """
    require("sklearn", "matplotlib", what="looking for shortcuts")
    opened = open_checkpoint(checkpoint)
    spec = opened.spec
    out = out or Path("build") / "shortcuts" / spec.name
    _check_place(out, overwrite)

    import torch

    from pipeline.models.networks import load_network

    if threads:
        torch.set_num_threads(threads)
    dataset = checkpoint_images(data, spec)
    found, valid, readout = find_shortcuts(load_network(opened), dataset, spec, seed)
    with staged_folder(out) as staging:
        write_shortcuts(staging, found, valid, readout, opened)
    return out


def _check_place(out: Path, overwrite: bool) -> None:
    """Refuse to replace anything that this did not write, and pictures next to the release."""
    if out.resolve().is_relative_to(RELEASED.parent.resolve()):
        raise BadInput(f"{out} is in the repository; pictures of the images must not go there")

    def fault(names: set[str]) -> str:
        if names - {JSON_FILE, PAGE_FILE, PICTURE_FILE}:
            return f"{out} holds something else; give another --out"
        return "" if overwrite else f"{out} exists; give --overwrite or another --out"

    refuse_foreign(out, fault)


def find_shortcuts(
    network: nn.Module, dataset: Dataset, spec: ModelSpec, seed: int = 2
) -> tuple[Shortcuts, Sequence[Sample], Readout]:
    """Run `network` over the images of both splits and find what it could score by.

    Returns:
        what was found, the validation images it was found on, and the readout of these.
    """
    train, valid = (_draw(samples, seed) for samples in (dataset.train, dataset.valid))
    readout = read_out(network, valid, spec)
    sources = sorted({sample.source for sample in [*train, *valid] if sample.source})
    no_sources = None
    if len(sources) < 2:
        no_sources = f"all images come from one source, {sources[0]}" if sources else NO_SOURCE
    everything = [*dataset.train, *dataset.valid]
    border: Border | None = None
    tiles: list[Tile] = []
    left_out: list[str] = []
    if readout.contrast is not None:
        border = measure_border(readout.contrast, _patients(valid))
        tiles, left_out = choose_tiles(valid, readout, spec, seed)
    found = Shortcuts(
        name=spec.name,
        version=spec.version,
        data_name=dataset.name,
        same_images=dataset.fingerprint() == spec.data.get("fingerprint"),
        images={
            "train": (len(train), len(dataset.train)),
            "valid": (len(valid), len(dataset.valid)),
        },
        counts=_counts(everything),
        seed=seed,
        no_sources=no_sources,
        confounding=() if no_sources else tuple(_confounding(everything)),
        auroc=_auroc(valid, readout, spec),
        within=tuple(_within(source, valid, readout, spec) for source in sources),
        probes=_probes(network, train, valid, readout, spec, bool(no_sources)),
        border=border,
        tiles=tuple(tiles),
        left_out=tuple(left_out),
        no_evidence=NO_MAP if readout.contrast is None else None,
        group=dataset.group_column or "image",
    )
    return found, valid, readout


def write_shortcuts(
    folder: Path,
    found: Shortcuts,
    valid: Sequence[Sample],
    readout: Readout,
    checkpoint: Checkpoint,
) -> None:
    """Write the three files (two where there is no map of evidence) into a staged `folder`.

    `valid` and `readout` as `find_shortcuts` returned them, of the network of `checkpoint`.
    """
    from pipeline.shortcuts.evidence_figure import plot_evidence
    from pipeline.shortcuts.page import shortcuts_page

    document = {"schema": SCHEMA, "checkpoint_sha256": checkpoint.sha256, **asdict(found)}
    write_json(folder / JSON_FILE, finite(document))
    page = shortcuts_page(found, PICTURE_FILE, checkpoint.spec.owner)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    if readout.contrast is not None:
        spec = checkpoint.spec
        title = f"{spec.name} {spec.version}: where the evidence lies"
        plot_evidence(folder / PICTURE_FILE, found.tiles, valid, readout.contrast, spec, title)


def _draw(samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
    if len(samples) <= MOST_IMAGES:
        return samples
    chosen = np.random.default_rng(seed).choice(len(samples), MOST_IMAGES, replace=False)
    return [samples[i] for i in sorted(chosen)]


def _patients(samples: Sequence[Sample]) -> list[str]:
    return [sample.patient_or_file for sample in samples]


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    pairs = Counter((sample.label, sample.source or "none") for sample in samples)
    counts: dict[str, dict[str, int]] = {}
    for (label, source), count in sorted(pairs.items()):
        counts.setdefault(label, {})[source] = count
    return counts


def _confounding(samples: Sequence[Sample]) -> list[str]:
    """Where the data themselves tie source and label together, so that no figure separates them."""
    sources_of: dict[str, set[str]] = {}
    labels_of: dict[str, set[str]] = {}
    for sample in samples:
        if sample.source:
            sources_of.setdefault(sample.label, set()).add(sample.source)
            labels_of.setdefault(sample.source, set()).add(sample.label)
    if all(len(labels) == 1 for labels in labels_of.values()):
        return [
            "Source and label cannot be distinguished: every source has images of one label only. "
            "Whatever the model scores on these data, it may score by the source alone."
        ]
    sentences = []
    for label, its_sources in sorted(sources_of.items()):
        if len(its_sources) == 1:
            (source,) = its_sources
            sentences.append(
                f"All images of {label} come from {source}: for {label}, source and label cannot "
                "be distinguished by these data."
            )
    for source, its_labels in sorted(labels_of.items()):
        if len(its_labels) == 1:
            (label,) = its_labels
            sentences.append(
                f"All images from {source} are {label}: to know the source is to know the label."
            )
    return sentences


def _auroc(samples: Sequence[Sample], readout: Readout, spec: ModelSpec) -> Interval:
    truth = np.array([spec.labels.index(sample.label) for sample in samples])
    rule = (spec.positive_index, spec.threshold)
    return evaluate(truth, readout.probs, *rule, _patients(samples))["auroc"]


def _within(
    source: str, valid: Sequence[Sample], readout: Readout, spec: ModelSpec
) -> WithinSource:
    rows = [i for i, sample in enumerate(valid) if sample.source == source]
    inside = [valid[i] for i in rows]
    there = {sample.label for sample in inside}
    if len(there) < len(spec.labels):
        lacking = [label for label in spec.labels if label not in there]
        reason = f"none of its validation images is {' or '.join(lacking)}"
        return WithinSource(source, len(rows), reason=reason)
    part = Readout(None, readout.probs[rows], None)
    return WithinSource(source, len(rows), _auroc(inside, part, spec))


def _probes(
    network: nn.Module,
    train: Sequence[Sample],
    valid: Sequence[Sample],
    readout: Readout,
    spec: ModelSpec,
    no_sources: bool,
) -> tuple[Probe, ...]:
    """Of the source among all images and within each label, and of the label."""
    among = ["all images", *(f"images of {label}" for label in spec.labels)]
    if readout.features is None:
        return tuple(Probe("source", phrase, reason=NO_BODY) for phrase in among)
    features = read_out(network, train, spec).features
    assert features is not None

    def ask(of: str, phrase: str, label: str | None) -> Probe:
        sides = []
        for samples, its in ((train, features), (valid, readout.features)):
            assert its is not None
            rows = [
                i
                for i, sample in enumerate(samples)
                if label in (None, sample.label) and getattr(sample, of) is not None
            ]
            sides.append((its[rows], [getattr(samples[i], of) for i in rows], rows))
        (x, y, _), (tested, asked, rows) = sides
        return probe(of, phrase, (x, y), (tested, asked), _patients([valid[i] for i in rows]))

    found = []
    if not no_sources:
        questions = zip(among, [None, *spec.labels], strict=True)
        found = [ask("source", phrase, label) for phrase, label in questions]
    return (*found, ask("label", "all images", None))
