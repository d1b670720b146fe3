"""Tables of the topologies: lines on a terminal, and the table in the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.topologies.verdict import VERDICTS

if TYPE_CHECKING:
    from benchmarks.topologies.row import ArtifactRow, Topologies, TopologyRow

BAD: Final = ("refused", "fail", "crash")


def line(row: TopologyRow) -> str:
    """One line for people."""
    counts = ", ".join(f"{row.verdicts[v]} {v}" for v in VERDICTS if v in row.verdicts)
    numbers = "" if row.parameters is None else f", {row.parameters / 1e6:.1f} million parameters"
    return (
        f"{row.name}, {row.side} px: {counts or 'no files'}; {row.seconds:.0f} s "
        f"({row.cpu_seconds:.0f} s of a core), {row.peak_mib} MiB{numbers}"
    )


def share(found: Topologies) -> str:
    """How many files of how many networks pass, in one sentence."""
    counts = found.counts
    every = sum(counts.values())
    rest = ", ".join(f"{counts[word]} {word}" for word in BAD)
    percent = 100 * counts["pass"] / max(every, 1)
    return (
        f"{counts['pass']} of {every} files of {len(found.rows)} networks pass "
        f"({percent:.1f} %); {rest}"
    )


def markdown(found: Topologies) -> str:
    """A row for each network; below it what does not pass, and why."""
    every = [artifact for row in found.rows for artifact in row.artifacts]
    precisions = tuple(dict.fromkeys(artifact.precision for artifact in every))
    first = every[0].format if every else ""
    lines = [
        f"| network | numbers stored | px | {' | '.join(precisions)} | MB of {first} "
        "| s of a core | peak MiB |",
        "| --- | ---: | ---: |" + " --- |" * len(precisions) + " --- | ---: | ---: |",
    ]
    for row in found.rows:
        cells = " | ".join(_passed(row, precision) for precision in precisions)
        numbers = "" if row.parameters is None else f"{row.parameters:,}"
        lines.append(
            f"| {row.name} | {numbers} | {row.side} | {cells} | {_sizes(row, first)} "
            f"| {row.cpu_seconds:.0f} | {row.peak_mib:,} |"
        )
    settings, where = found.settings, found.machine
    lines += [
        "",
        f"{share(found)}. Cells: files that pass, of those that the formats have. MB: "
        f"{', '.join(precisions)}. Seconds and memory: of compressing and exporting. "
        f"{settings.weights.capitalize()} weights; {settings.images} validation images of "
        f"{settings.data}, the golden and the hard set; converters at a time: {settings.jobs}; "
        f"{where.processor}, {where.cores} cores.",
        "",
    ]
    for word in BAD:
        lines += [f"- **{word}** {what}" for what in _reasons(found, word)]
    return "\n".join(lines).rstrip()


def _passed(row: TopologyRow, precision: str) -> str:
    verdicts = [a.verdict for a in row.artifacts if a.precision == precision]
    worst = max(verdicts, key=VERDICTS.index, default="pass")
    return f"{verdicts.count('pass')} of {len(verdicts)}" + (worst != "pass") * f", {worst}"


def _sizes(row: TopologyRow, name: str) -> str:
    sizes = [a.size_bytes for a in row.artifacts if a.format == name]
    return " ".join("-" if size is None else f"{size / 1e6:.1f}" for size in sizes)


def _reasons(found: Topologies, verdict: str) -> list[str]:
    """Each reason once, with its files: ``onnx int8 of alexnet, vgg16: reason``."""
    of: dict[str, dict[str, list[ArtifactRow]]] = {}
    for row in found.rows:
        for artifact in row.artifacts:
            if artifact.verdict == verdict:
                of.setdefault(artifact.reason, {}).setdefault(row.name, []).append(artifact)
    sentences = []
    for reason, rows in of.items():
        files: dict[str, list[str]] = {}
        for name, artifacts in rows.items():
            said = ", ".join(f"{a.format} {a.precision}" for a in artifacts)
            files.setdefault(said, []).append(name)
        where = "; ".join(f"{said} of {', '.join(names)}" for said, names in files.items())
        sentences.append(f"{where}: {reason}")
    return sentences
