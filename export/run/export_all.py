"""``python -m export all``: checkpoint, artifacts, parity, latency, published assets, verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from export.formats.base import verbs_of
from export.formats.register import FORMATS, all_precisions
from export.latency.entry import LatencyEntry, ThreadLatency
from export.parity.check import ParityResult, check_artifact
from export.parity.outcome import Conversion, Outcome
from export.parity.quality_gate import FULL, judge_quality
from export.publish.assets import FOLDERS, publish, refuse_foreign_assets
from export.publish.build_manifest import Published, file_entries, tool_versions
from export.publish.examples import example_files
from export.report.accuracy import reference_classification
from export.report.document import VerdictRow, exit_code, print_verdict, report_of
from export.report.report import write_report
from export.report.sections import (
    details,
    model_of,
    published_files,
    training_of,
    worst_of_all,
)
from export.run.convert import begin_imports, convert_all
from export.run.export_request import ExportRequest
from export.run.next_commands import accept_rejected, look_closer
from pipeline.atomic_files import make_folder
from pipeline.checkpoint import Checkpoint, open_checkpoint
from pipeline.errors import BadInput, MissingDependency, UserError, install_command, missing_modules
from pipeline.json_files import plain

if TYPE_CHECKING:
    from rich.console import Console

    from export.parity.reference import References
    from export.report.report import PublishedFile
    from export.run.robustness import Robustness
    from pipeline.model_spec import ModelSpec

REPORT_FILE: Final = "report.json"


def export_all(request: ExportRequest, console: Console) -> int:
    """Run the export and print the verdict; return the exit code.

    Raises:
        BadInput, MissingDependency: before anything is written.
    """
    start = time.perf_counter()
    wanted = plan(request.formats, request.precisions)
    refuse_foreign_assets(request.root, {p for name in wanted for p in FORMATS[name].platforms})
    checkpoint = open_checkpoint(request.checkpoint)
    spec, identity = checkpoint.spec, checkpoint.sha256
    head = f"{spec.name} {spec.version} ({identity[:12]}): {spec.intended_use}"
    console.print(head, markup=False)  # the owner's words, as they are
    possible, absent = split_by_variant(checkpoint, wanted, request.data)

    begin_imports(possible)

    # Imported here: `plan` must be able to refuse before torch takes its two seconds.
    from export.images.parity_images import gather_images
    from export.parity.reference import References
    from export.run.beside import files_beside
    from export.run.robustness import print_robustness, robustness_entry

    # Unreadable images and weights are refused before the first converter starts.
    examples = example_files(checkpoint)
    images = gather_images(spec, request.data, request.image_limit)
    references = References(checkpoint, images)
    references.refuse_damaged({"fp32", *_variants(possible)})
    console.print(f"reference: PyTorch on {images.source}", markup=False)
    done = _convert_and_prove(request, possible, references, console)

    latencies = _latencies(request, spec, done, console) if request.latency else {}
    fit, rejected = _by_platform(done, latencies)
    with TemporaryDirectory() as optimised:
        models = {
            platform: [(artifact.format, artifact.path) for artifact in artifacts]
            for platform, artifacts in fit.items()
        }
        extras = files_beside(examples, references, models, Path(optimised))
        folders = publish(request.root, spec, identity, fit, rejected, extras)
    files = published_files(folders)
    rows = [_row(outcome, latencies, files, references) for outcome in done]
    rows += [
        VerdictRow(name, precision, "", ParityResult("not_run", why))
        for name, precision, why in absent
    ]
    rows += [_left_out(name) for name in FORMATS if name not in wanted]
    refused = {name: dict(FORMATS[name].refused) for name in wanted if FORMATS[name].refused}
    print_verdict(console, rows, images.source, refused)
    for line in [*look_closer(request, done), *accept_rejected(request, rows)]:
        console.print(line, markup=False, soft_wrap=True)
    robustness, why_not = _robustness(request, spec, done)
    print_robustness(console, robustness, why_not)
    seconds = time.perf_counter() - start
    report = replace(
        report_of("all", rows, images.source),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model_of(spec, identity),
        classification=reference_classification(references),
        worst_images=worst_of_all(done, references),
        training=training_of(request.checkpoint, spec),
        published=tuple(folder.name for folder in folders),
        refused=refused,
        robustness=robustness_entry(robustness, why_not),
        seconds=round(seconds, 1),
        tools=tool_versions(),
    )
    write_report(request.build / REPORT_FILE, report)
    console.print(
        f"published: {', '.join(str(f) for f in folders) or 'nothing'}; "
        f"report: {request.build / REPORT_FILE}; {seconds:.0f} s",
        markup=False,
        soft_wrap=True,
    )
    _write_page(request.build, console)
    over = _over_budget(folders, request.budget_bytes)
    for sentence in over:
        console.print(f"over the budget: {sentence}", markup=False, soft_wrap=True)
    limit_broken = request.strict and robustness is not None and bool(robustness.broken)
    return max(exit_code(rows, request.strict), int(bool(over) or limit_broken))


def _over_budget(folders: Sequence[Path], limit_bytes: int | None) -> list[str]:
    """The formats without a published file within the limit, and by how much they exceed it."""
    if limit_bytes is None:
        return []
    from export.consumer.budget import weigh

    return [f"{f.name}: {fault}" for f in folders for fault in weigh(f, limit_bytes).faults]


def plan(formats: Sequence[str], precisions: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Format -> precisions, in the register's order.

    Raises:
        BadInput: an unknown format, or a precision that none of the formats has.
        MissingDependency: a converter that is needed is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise BadInput(f"unknown format {unknown[0]!r}; there are: {', '.join(FORMATS)}")
    known = list(dict.fromkeys(p for name in formats for p in FORMATS[name].precisions))
    unknown = [precision for precision in precisions if precision not in known]
    if unknown:
        raise BadInput(
            f"{', '.join(formats)}: no precision {unknown[0]!r}; there are: {', '.join(known)}"
        )
    wanted = {
        name: tuple(p for p in FORMATS[name].precisions if not precisions or p in precisions)
        for name in FORMATS
        if name in formats
    }
    wanted = {name: chosen for name, chosen in wanted.items() if chosen}
    for name in wanted:
        missing = missing_modules(FORMATS[name].requires)
        if missing:
            others = ",".join(f for f in wanted if not missing_modules(FORMATS[f].requires))
            way_round = f", or leave it out with --formats {others}" if others else ""
            raise MissingDependency(
                f"{name} needs {', '.join(missing)}, not installed here; "
                f"{install_command(missing, FORMATS[name].extras_of(missing))}{way_round}"
            )
    return wanted


def accepted_precisions(names: Sequence[str]) -> tuple[str, ...]:
    """The precisions of `ExportRequest.accept`; all of them for the one word ``rejected``.

    Raises:
        BadInput: an unknown precision.
    """
    if [name.lower() for name in names] == ["rejected"]:
        return all_precisions()
    for name in names:
        if name not in all_precisions():
            raise BadInput(
                f"--accept {name}: there are {', '.join(all_precisions())}, or `rejected` for all"
            )
    return tuple(names)


def split_by_variant(
    checkpoint: Checkpoint, wanted: Mapping[str, tuple[str, ...]], data: Path | None = None
) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str, str]]]:
    """Artifacts that the checkpoint has a variant for; (format, precision, reason) of the rest.

    `data`: the images at hand, for the command that a reason names.
    """
    from export.deploy.variants import missing_variant

    possible: dict[str, tuple[str, ...]] = {}
    absent = []
    for name, precisions in wanted.items():
        reasons = {
            p: missing_variant(checkpoint, FORMATS[name].precisions[p].variant, data)
            for p in precisions
        }
        possible[name] = tuple(p for p in precisions if not reasons[p])
        absent += [(name, p, reason) for p, reason in reasons.items() if reason]
    return {name: chosen for name, chosen in possible.items() if chosen}, absent


def _variants(wanted: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {
        FORMATS[name].precisions[p].variant
        for name, precisions in wanted.items()
        for p in precisions
    }


def _convert_and_prove(
    request: ExportRequest,
    wanted: Mapping[str, tuple[str, ...]],
    references: References,
    console: Console,
) -> list[Outcome]:
    """Run converters and PyTorch side by side, then check each artifact as it is finished."""
    variants = _variants(wanted)
    count = sum(len(precisions) for precisions in wanted.values())

    def answer() -> References:
        import torch

        torch.set_num_threads(1)  # the converters run at the same time
        for variant in sorted({"fp32"} | variants):
            references.of(variant)
            references.capture(variant)
        return references

    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(1) as thread:
        make_folder(request.build)
        answered = thread.submit(answer)
        checkpoint = references.checkpoint
        for done in convert_all(checkpoint, wanted, request.build, request.jobs, answered):
            answered.result()  # waits for PyTorch's outputs, or raises its error
            outcome = _judge(done, references, request.accept)
            outcomes.append(outcome)
            _tell(console, outcome, f"{len(outcomes)} of {count}")
    order = [(name, p) for name in FORMATS for p in FORMATS[name].precisions]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.key))


def _judge(conversion: Conversion, references: References, accept: Sequence[str]) -> Outcome:
    name, precision = conversion.format, conversion.precision
    reference = references.of(FORMATS[name].precisions[precision].variant)
    if conversion.error is not None:
        reason = f"conversion failed: {conversion.error}"
        parity = ParityResult(
            "fail", reason, tolerance=FORMATS[name].precisions[precision].tolerance
        )
    else:
        parity = conversion.parity or check_artifact(name, precision, conversion.path, reference)
    gate_result = None
    if parity.status != "fail":
        gate_result = judge_quality(precision, parity, reference.spec, references.of("fp32"))
    if gate_result is not None and gate_result.broken and precision in accept:
        gate_result = replace(gate_result, accepted=True)
    return Outcome(conversion, parity, gate_result, reference.checkpoint_sha256)


def _tell(console: Console, outcome: Outcome, count: str) -> None:
    format_name, precision = outcome.key
    gate = "" if outcome.fit or outcome.parity.status == "fail" else ", not fit to be published"
    if outcome.gate_result is not None and outcome.gate_result.accepted:
        gate = ", accepted though it loses too much"
    console.print(
        f"  {count}: {format_name} {precision} converted in {outcome.conversion.seconds:.1f} s, "
        f"parity {outcome.parity.status}{gate}"
    )


def _robustness(
    request: ExportRequest, spec: ModelSpec, done: Sequence[Outcome]
) -> tuple[Robustness | None, str]:
    """What preprocessing mistakes cost the first fp32 file; or None, and why it was not run."""
    from export.images.parity_images import validation_samples
    from export.run.robustness import NO_DATA, measure_if_run

    if request.data is None:
        return None, NO_DATA
    for outcome in done:
        if outcome.key[1] == FULL and outcome.parity.status == "pass":
            samples, source = validation_samples(spec, request.data, request.image_limit)
            verbs, path = verbs_of(outcome.key[0]), outcome.conversion.path
            return measure_if_run(spec, verbs, path, samples, source)
    return None, f"no {FULL} file passed"


def _latencies(
    request: ExportRequest,
    spec: ModelSpec,
    done: Sequence[Outcome],
    console: Console,
) -> dict[tuple[str, str], LatencyEntry]:
    """(format, precision) -> its latency; only for what passed."""
    from export.latency.machine import machine
    from export.latency.measure import Target, measure

    targets = [
        Target(*outcome.key, outcome.conversion.path, spec.side)
        for outcome in done
        if outcome.parity.status == "pass"
        and verbs_of(outcome.key[0]).RUN_BY in outcome.parity.how  # not by a substitute
    ]
    if not targets:
        return {}
    console.print(f"timing {len(targets)} artifacts, interleaved")
    times: dict[tuple[str, str], dict[str, ThreadLatency]] = {}
    for m in measure(targets, threads=(1, 2), rounds=4, round_s=0.15):
        if m.status == "done":
            key = (m.target.format, m.target.precision)
            figures = ThreadLatency(_rounded(m.median_ms), _rounded(m.p90_ms))
            times.setdefault(key, {})[str(m.threads)] = figures
    where = plain(machine())
    return {key: LatencyEntry(where, threads) for key, threads in times.items()}


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)


def _row(
    outcome: Outcome,
    latencies: Mapping[tuple[str, str], LatencyEntry],
    files: Mapping[tuple[str, str], PublishedFile],
    references: References,
) -> VerdictRow:
    conversion = outcome.conversion
    size = None
    if conversion.error is None:
        entries = file_entries(conversion.path.parent, conversion.path.name)
        size = sum(entry.size_bytes for entry in entries)
    differences, classification = details(outcome, references)
    return VerdictRow(
        *outcome.key,
        place=" ".join(FORMATS[conversion.format].platforms) if outcome.fit else "",
        parity=outcome.parity,
        gate_result=outcome.gate_result,
        size_bytes=size,
        latency=latencies.get(outcome.key),
        file=files.get(outcome.key),
        differences=differences,
        classification=classification,
    )


def _write_page(build: Path, console: Console) -> None:
    """Write the report page next to the report; say so if its charts cannot be drawn."""
    from export.report.page.write import PAGE_FILE, write_page

    try:
        path = write_page(build / REPORT_FILE, build / PAGE_FILE)
    except UserError as error:
        console.print(f"report page not run: {error}", markup=False, soft_wrap=True)
    else:
        console.print(f"report page: {path}", markup=False, soft_wrap=True)


def _left_out(name: str) -> VerdictRow:
    """A format that was not requested is in the report too."""
    return VerdictRow(name, "all", "", ParityResult("not_run", "left out by --formats"))


def _by_platform(
    done: Sequence[Outcome], latencies: Mapping[tuple[str, str], LatencyEntry]
) -> tuple[dict[str, list[Published]], dict[str, list[Published]]]:
    """Platform -> what is published for it, and what the quality gate kept back."""
    fit: dict[str, list[Published]] = {platform: [] for platform in FOLDERS}
    rejected: dict[str, list[Published]] = {platform: [] for platform in FOLDERS}
    for outcome in done:
        conversion = outcome.conversion
        if outcome.parity.status == "fail" or conversion.description is None:
            continue
        artifact = Published(
            *outcome.key,
            conversion.path,
            conversion.description,
            outcome.parity,
            outcome.checkpoint_sha256,
            outcome.gate_result,
            latencies.get(outcome.key),
        )
        for platform in FORMATS[conversion.format].platforms:
            (fit if outcome.fit else rejected)[platform].append(artifact)
    return fit, rejected
