"""``python -m export all``: checkpoint, artifacts, parity, latency, published assets, verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.assets import FOLDERS, publish, refuse_foreign
from export.conversion import Conversion, convert_all
from export.formats import FORMATS
from export.manifest import Published, file_entries, tool_versions
from export.parity import ParityResult, check_artifact
from export.report import Row, exit_code, print_verdict, report_document, to_json
from pipeline.checkpoint import checkpoint_sha256, read_spec
from pipeline.errors import BadInput, MissingDependency, install_command, missing_modules
from pipeline.placement import write_text

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.measure import Measurement
    from export.reference import Reference
    from pipeline.checkpoint import ModelSpec


@dataclass(frozen=True)
class ExportRequest:
    """What `export all` is asked for.

    Attributes:
        checkpoint: its folder.
        data: validation images for parity; None: the embedded samples.
        formats: names of `FORMATS`; a part of them is not published in place of the whole.
        root: where the asset folders are.
        build: for artifacts before they are proven, logs and the report.
        image_limit: of the validation images.
        jobs: converters at a time.
        latency: measure it for the manifest.
        strict: not run counts as failed.
    """

    checkpoint: Path
    data: Path | None
    formats: tuple[str, ...]
    root: Path
    build: Path
    image_limit: int
    jobs: int
    latency: bool
    strict: bool


def export_all(request: ExportRequest, console: Console) -> int:
    """Do it and print the verdict; return the exit code.

    Raises:
        BadInput, MissingDependency: before anything is written.
    """
    start = time.perf_counter()
    wanted = plan(request.formats)
    refuse_foreign(request.root, {p for name in wanted for p in FORMATS[name].PLATFORMS})
    spec, identity = read_spec(request.checkpoint), checkpoint_sha256(request.checkpoint)
    console.print(f"{spec.name} {spec.version} ({identity[:12]}): {spec.intended_use}")

    # Imported here: `plan` must be able to refuse before torch takes its two seconds.
    from export.reference import build_reference

    reference = build_reference(request.checkpoint, request.data, request.image_limit)
    source = reference.images.source
    console.print(f"reference: PyTorch on {source}")
    done: list[tuple[Conversion, ParityResult]] = []
    for conversion in convert_all(request.checkpoint, wanted, request.build, request.jobs):
        parity = _prove(conversion, reference)
        _tell(console, conversion, parity)
        done.append((conversion, parity))
    order = list(FORMATS)
    done.sort(key=lambda pair: order.index(pair[0].format))

    latencies = _latencies(request, spec, done, console) if request.latency else {}
    rows = [_row(conversion, parity, latencies) for conversion, parity in done]
    rows += [_left_out(name) for name in FORMATS if name not in wanted]
    folders = publish(request.root, spec, identity, _by_platform(done, latencies))
    print_verdict(console, rows, source)
    _point_to_explain(console, rows)
    seconds = time.perf_counter() - start
    document = report_document(
        "all",
        rows,
        source,
        model={"name": spec.name, "version": spec.version, "checkpoint_sha256": identity},
        published=[folder.name for folder in folders],
        seconds=round(seconds, 1),
        tools=tool_versions(),
    )
    write_text(request.build / "report.json", to_json(document))
    console.print(
        f"published: {', '.join(str(f) for f in folders) or 'nothing'}; "
        f"report: {request.build / 'report.json'}; {seconds:.0f} s"
    )
    return exit_code(rows, request.strict)


def plan(formats: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Format -> precisions, in the register's order.

    Raises:
        BadInput: an unknown format.
        MissingDependency: a converter that is needed is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise BadInput(f"unknown format {unknown[0]!r}; there are: {', '.join(FORMATS)}")
    wanted = {name: tuple(FORMATS[name].TOLERANCES) for name in FORMATS if name in formats}
    for name in wanted:
        missing = missing_modules(FORMATS[name].REQUIRES)
        if missing:
            others = ",".join(f for f in wanted if not missing_modules(FORMATS[f].REQUIRES))
            way_round = f", or leave it out with --formats {others}" if others else ""
            raise MissingDependency(
                f"{name} needs {', '.join(missing)}, not installed here; "
                f"{install_command(missing)}{way_round}"
            )
    return wanted


def _prove(conversion: Conversion, reference: Reference) -> ParityResult:
    if conversion.error is not None:
        tolerance = FORMATS[conversion.format].TOLERANCES[conversion.precision]
        return ParityResult("fail", f"conversion failed: {conversion.error}", tolerance=tolerance)
    return check_artifact(conversion.format, conversion.precision, conversion.path, reference)


def _tell(console: Console, conversion: Conversion, parity: ParityResult) -> None:
    name = f"{conversion.format} {conversion.precision}"
    console.print(f"  {name}: converted in {conversion.seconds:.1f} s, parity {parity.status}")


def _point_to_explain(console: Console, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.parity.status == "fail" and row.parity.worst_image:
            console.print(
                f"  look closer: python -m export explain {row.format} --precision "
                f"{row.precision} --image {row.parity.worst_image}",
                markup=False,
                soft_wrap=True,
            )


def _latencies(
    request: ExportRequest,
    spec: ModelSpec,
    done: Sequence[tuple[Conversion, ParityResult]],
    console: Console,
) -> dict[tuple[str, str], dict[str, Any]]:
    """(format, precision) -> what the manifest says of its latency; only for what passed."""
    from benchmarks.machine import machine
    from benchmarks.measure import Target, measure

    targets = [
        Target(c.format, c.precision, c.path, spec.side)
        for c, p in done
        if p.status == "pass" and FORMATS[c.format].RUN_BY in p.how  # not what stood in for it
    ]
    if not targets:
        return {}
    console.print(f"timing {len(targets)} artifacts, interleaved")
    measurements = measure(targets, threads=(1, 2), rounds=4, round_s=0.15)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for m in measurements:
        if m.status == "done":
            key = (m.target.format, m.target.precision)
            entry = found.setdefault(key, {"machine": machine(), "threads": {}})
            entry["threads"][str(m.threads)] = _figures(m)
    return found


def _figures(measurement: Measurement) -> dict[str, float | None]:
    figures = {"median": measurement.median_ms, "p90": measurement.p90_ms}
    return {name: None if v is None else round(v, 3) for name, v in figures.items()}


def _row(
    conversion: Conversion,
    parity: ParityResult,
    latencies: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Row:
    key = (conversion.format, conversion.precision)
    platforms = FORMATS[conversion.format].PLATFORMS
    size = None
    if conversion.error is None:
        entries = file_entries(conversion.path.parent, conversion.path.name)
        size = sum(entry.size_bytes for entry in entries)
    return Row(
        *key,
        place="" if parity.status == "fail" else " ".join(platforms),
        parity=parity,
        size_bytes=size,
        latency=latencies.get(key),
    )


def _left_out(name: str) -> Row:
    """A format that was not asked for is in the report all the same."""
    precisions = "+".join(FORMATS[name].TOLERANCES)
    return Row(name, precisions, "", ParityResult("not_run", "left out by --formats"))


def _by_platform(
    done: Sequence[tuple[Conversion, ParityResult]],
    latencies: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, list[Published]]:
    by_platform: dict[str, list[Published]] = {platform: [] for platform in FOLDERS}
    for conversion, parity in done:
        if parity.status == "fail" or conversion.description is None:
            continue
        key = (conversion.format, conversion.precision)
        artifact = Published(
            *key, conversion.path, conversion.description, parity, latencies.get(key)
        )
        for platform in FORMATS[conversion.format].PLATFORMS:
            by_platform[platform].append(artifact)
    return by_platform
