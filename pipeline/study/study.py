"""A comparison of topologies: every topology under every protocol with every seed, side by side.

In: `Study` and the images. Out: a folder

``trials/<topology>-<protocol>-seed<seed>/``  each a checkpoint folder (`pipeline.study.trial`)
``comparison.json``, ``.md``, ``.csv``        all numbers; to read; a row per trial and stage
``figures/``                                  `pipeline.study.figures` ``failures/<trial>.txt``
traceback of a trial that failed by no fault of the user

A trial is in place as soon as it is finished. The same request trains what is missing and keeps
what exists, if it is what would be trained now.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.architecture_names import identifier
from pipeline.atomic_files import make_folder, refuse_foreign, write_text
from pipeline.data.sources import training_images
from pipeline.errors import BadInput, require
from pipeline.model_spec import named
from pipeline.study.engine import Lost, run_tasks
from pipeline.study.progress import watched
from pipeline.study.protocols import Ruling, apply_protocol, make_pool, table_of
from pipeline.study.report import print_report, write_report
from pipeline.study.summary import TrialResult, summarise
from pipeline.study.trial import Failure, Trial, read_trial, run_trial, why_again

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.study.documents import StudyComparison
    from pipeline.study.protocols import Pool
    from pipeline.study.request import Study

TRIALS: Final = "trials"
FAILURES: Final = "failures"
PROGRESS: Final = ".progress"
OURS: Final = frozenset(
    {TRIALS, FAILURES, PROGRESS, "figures", "comparison.json", "comparison.md", "comparison.csv"}
)


def run_study(study: Study, data: Path | None, out: Path | None) -> StudyComparison:
    """Train what is missing, then write and print the comparison; return it.

    Args:
        study: the request.
        data: folder or table of images; None: synthetic phantoms.
        out: folder; None: ``build/comparisons/<name>``.

    Raises:
        BadInput: bad data or options, no protocol is possible, or `out` holds something else.
        MissingDependency: a package is not installed.
    """
    require("fastai", "sklearn", "matplotlib", "joblib", what="comparing topologies")
    if out is not None:
        _check_place(out)
    pool = _read(study, data)
    out = out or Path("build") / "comparisons" / (study.name or pool.dataset.name)
    _check_place(out)
    rulings = {
        (protocol, seed): apply_protocol(
            pool, protocol, seed, study.config.valid_fraction, study.exclude
        )
        for protocol in study.protocols
        for seed in study.seeds
    }
    _announce(study, pool, rulings)
    trials = _trials(study, pool, rulings, out.resolve())
    if not trials:
        raise BadInput("; ".join(dict.fromkeys(ruling.reason for ruling in rulings.values())))
    outcomes = _run(study, trials, out.resolve())
    comparison = summarise(study, pool, rulings, trials, outcomes)
    _forget_failures(out, outcomes)
    write_report(out, comparison, trials)
    print_report(comparison, out)
    return comparison


def _check_place(out: Path) -> None:
    """Refuse a folder that holds anything other than a comparison."""

    def fault(names: set[str]) -> str:
        others = sorted(names.difference(OURS))
        if others:
            return f"{out} holds {others[0]}, which is not part of a comparison; give another --out"
        return ""

    refuse_foreign(out, fault)


def _read(study: Study, data: Path | None) -> Pool:
    place = None if data is None else table_of(data)
    if place != data:
        print(f"{place} is read: a table knows sources, and what belongs together")
    config = study.config
    dataset = training_images(place, config.seed, config.valid_fraction, study.group_column)
    return make_pool(dataset, study.positive, "synthetic phantoms" if place is None else place.name)


def _announce(study: Study, pool: Pool, rulings: Mapping[tuple[str, int], Ruling]) -> None:
    print(study.said.intended_use)
    positive = pool.positive or "none (more than two)"
    print(f"{len(pool.samples)} images of {pool.dataset.name}; positive label: {positive}")
    for (protocol, seed), ruling in rulings.items():
        if ruling.dataset is None:
            print(f"{protocol}, seed {seed}: not possible: {ruling.reason}")
            continue
        for split, counts in ruling.dataset.counts().items():
            told = named([f"{n} {label}" for label, n in counts.items()])
            print(f"{protocol}, seed {seed}: {split}: {told}")
        print(f"  split {ruling.dataset.split_rule}")
        for note in ruling.notes:
            print(f"  {note}")


def _trials(
    study: Study, pool: Pool, rulings: Mapping[tuple[str, int], Ruling], out: Path
) -> list[Trial]:
    fingerprints = {
        key: ruling.dataset.fingerprint() for key, ruling in rulings.items() if ruling.dataset
    }
    threads = study.config.threads or study.engine.threads_each
    trials = []
    for (protocol, seed), ruling in rulings.items():
        for topology in study.topologies:
            if ruling.dataset is None:
                continue
            name = f"{identifier(topology)}-{protocol}-seed{seed}"
            trials.append(
                Trial(
                    topology=topology,
                    protocol=protocol,
                    seed=seed,
                    config=replace(study.config, architecture=topology, seed=seed),
                    threads=threads,
                    dataset=_absolute(ruling),
                    fingerprint=fingerprints[protocol, seed],
                    positive=pool.positive,
                    model=f"{identifier(topology)}_{study.name or pool.dataset.name}_{protocol}"
                    f"_seed{seed}",
                    model_version=study.model_version,
                    target_accuracy=study.target_accuracy,
                    folder=out / TRIALS / name,
                    progress=out / PROGRESS / name,
                    said=study.said,
                )
            )
    return trials


def _absolute(ruling: Ruling) -> Dataset:
    """The data set with paths that also work in a worker's working directory."""
    assert ruling.dataset is not None
    train, valid = (
        tuple(replace(sample, path=sample.path.resolve()) for sample in samples)
        for samples in (ruling.dataset.train, ruling.dataset.valid)
    )
    return replace(ruling.dataset, train=train, valid=valid)


def _run(study: Study, trials: Sequence[Trial], out: Path) -> dict[str, TrialResult]:
    """The result of each trial, by name; finished ones are kept."""
    outcomes, todo = {}, []
    for trial in trials:
        reason = "everything is trained again" if study.again else why_again(trial)
        if reason:
            todo.append(trial)
            if trial.folder.exists():
                print(f"{trial.name}: trained again: {reason}")
        else:
            outcomes[trial.name] = TrialResult(read_trial(trial.folder), taken=True)
    if outcomes:
        print(f"{len(outcomes)} of {len(trials)} trials are finished already and taken as they are")
    make_folder(out / TRIALS)
    make_folder(out / PROGRESS)
    for trial in todo:
        trial.progress.unlink(missing_ok=True)
    try:
        with watched(todo) as board:
            results = run_tasks(
                study.engine, run_trial, todo, lambda trial: trial.progress.exists()
            )
            for number, result in results:
                trial = todo[number]
                outcomes[trial.name] = _outcome(trial, result, out)
                board.end(trial, outcomes[trial.name].told)
    finally:  # a worker that was ended by force could not clear away what it had begun
        shutil.rmtree(out / PROGRESS, ignore_errors=True)
        for trial in todo:
            for staging in trial.folder.parent.glob(f".*{trial.name}.staging-*"):
                shutil.rmtree(staging, ignore_errors=True)
    return outcomes


def _outcome(trial: Trial, result: Failure | Lost | None, out: Path) -> TrialResult:
    if result is None:
        reason = why_again(trial)
        if not reason:
            return TrialResult(read_trial(trial.folder))
        return TrialResult(None, reason=f"its worker says it is done, but here: {reason}")
    if isinstance(result, Failure) and result.details:
        path = out / FAILURES / f"{trial.name}.txt"
        write_text(path, result.details)
        return TrialResult(None, reason=f"{result.reason} (more in {FAILURES}/{path.name})")
    return TrialResult(None, reason=result.reason)


def _forget_failures(out: Path, outcomes: Mapping[str, TrialResult]) -> None:
    """A finished trial no longer has a traceback."""
    for name, outcome in outcomes.items():
        if outcome.record is not None:
            (out / FAILURES / f"{name}.txt").unlink(missing_ok=True)
