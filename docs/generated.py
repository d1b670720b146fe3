"""The generated parts of README, model card and docs: functions that cog calls to write them.

In: ``docs/results/*.json`` (runs of `make release`), the released checkpoint, the manifest's
schema, the command lines. Out: Markdown, printed. `make docs` writes it; `make check` and a test
hold it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def results_table() -> None:
    """A row per artifact: size, agreement, latency."""
    export = _read("export.json")
    times = {(row["name"], row["threads"]): row for row in _read("benchmark.json")["rows"]}
    print("| artifact | MB | zipped | agreement with PyTorch | label flips | ms (1 thread) |")
    print("| --- | ---: | ---: | --- | ---: | ---: |")
    for artifact in export["artifacts"]:
        name = f"{artifact['format']} {artifact['precision']}"
        parity, time = artifact["parity"], times[name, 1]
        if parity["status"] == "pass":
            words = ", ".join(
                f"max \\|Δp\\| {s['max_abs_diff']:.1e} on {s['images']} {group}"
                for group, s in sorted(parity["sets"].items(), reverse=True)
            )
            verdict = f"pass, {parity['how']}: {words} images"
            flips = str(parity["label_flips"])
        else:
            verdict, flips = f"{parity['status'].replace('_', ' ')}: {parity['reason']}", ""
        print(
            f"| {name} | {artifact['size_bytes'] / 1e6:.2f} | {time['zipped_bytes'] / 1e6:.2f} "
            f"| {verdict} | {flips} | {_ms(time)} |"
        )
    eager = times["PyTorch eager", 1]
    print(f"| PyTorch eager | {eager['size_bytes'] / 1e6:.2f} | | the reference | | {_ms(eager)} |")
    print()
    print(f"Compared on {export['images']}. Latency: {benchmark_setting()}")


def benchmark_setting() -> str:
    """Where and how the times were taken."""
    document = _read("benchmark.json")
    machine = document["machine"]
    return (
        f"median of {document['rounds']} interleaved rounds of {document['round_s']} s on "
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}."
    )


def expected_times() -> None:
    """What the two commands took on a fresh clone."""
    document = _read("fresh_clone.json")
    seconds = document["seconds"]
    print("| step | seconds |")
    print("| --- | ---: |")
    print(f"| installing, once (`make setup`, done by both) | {seconds['make setup']} |")
    for command in ("make export", "make test"):
        print(f"| `{command}` | {seconds[command]} |")
    print()
    print(f"Measured on {document['machine']}.")


def benchmark_table() -> None:
    """All figures of the benchmark."""
    print("| artifact | threads | load ms | first ms | median ms | p90 ms | ratio | peak MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in _read("benchmark.json")["rows"]:
        if row["status"] != "done":
            word = row["status"].replace("_", " ")
            print(f"| {row['name']} | {row['threads']} | {word}: {row['reason']} | | | | | |")
            continue
        print(
            f"| {row['name']} | {row['threads']} | {row['load_ms']:.1f} | {row['first_ms']:.1f} "
            f"| {row['median_ms']:.2f} | {row['p90_ms']:.2f} | {row['ratio']:.2f} "
            f"| {row['peak_mb']:.0f} |"
        )


def metrics_table() -> None:
    """The released model's figures with their intervals, and what they were taken on."""
    spec = _released()
    print("| figure | value | 95 % interval |")
    print("| --- | ---: | --- |")
    for name, figure in spec["metrics"].items():
        print(f"| {name} | {figure['value']:.3f} | {figure['low']:.3f} to {figure['high']:.3f} |")


def released_facts() -> None:
    """Data, recipe and identity of the released checkpoint."""
    spec = _released()
    training, images = spec["training"], spec["data"]["images"]
    for split, counts in images.items():
        listed = ", ".join(f"{n} {label}" for label, n in counts.items())
        print(f"- {split}: {sum(counts.values())} images ({listed})")
    print(f"- split: {spec['data']['split']}; fingerprint `{spec['data']['fingerprint'][:16]}`")
    print(f"- initial weights: {training['initial_weights']}")
    print(
        f"- {training['frozen_epochs']} epochs with the body frozen, {training['finetune_epochs']} "
        f"with everything learning; batch size {training['batch_size']}, seed {training['seed']}"
    )
    print(f"- decision: `{spec['positive']}` from a probability of {spec['threshold']} on")
    print(
        f"- {spec['weights']['parameters']:,} parameters, {spec['weights']['size_bytes']:,} bytes"
    )


def manifest_fields() -> None:
    """The manifest, field by field, from its schema."""
    schema = json.loads((ROOT / "export" / "manifest.schema.json").read_text(encoding="utf-8"))
    print("| field | type | meaning |")
    print("| --- | --- | --- |")
    _print_fields(schema, "")


def faults_table() -> None:
    """Planted fault against the parts of the check that find it, and the controls."""
    document = _read("faults.json")
    formats = list(dict.fromkeys(entry["format"] for entry in document["faults"]))
    print(f"| planted fault | {' | '.join(formats)} |")
    print("| --- |" + " --- |" * len(formats))
    for fault in dict.fromkeys(entry["fault"] for entry in document["faults"]):
        found = {e["format"]: e["caught_by"] for e in document["faults"] if e["fault"] == fault}
        cells = [", ".join(found[name]) if found.get(name) else "" for name in formats]
        print(f"| {fault} | {' | '.join(cells)} |")


def controls_table() -> None:
    """What changes nothing and must pass."""
    print("| change that changes nothing | format | verdict |")
    print("| --- | --- | --- |")
    for entry in _read("faults.json")["controls"]:
        verdict = ", ".join(entry["caught_by"]) or "pass"
        print(f"| {entry['control']} | {entry['format']} | {verdict} |")


def command_help() -> None:
    """`--help` of every command."""
    os.environ["COLUMNS"] = "100"
    from benchmarks import cli as benchmarks
    from export import cli as export
    from pipeline import cli as pipeline

    for module in (pipeline, export, benchmarks):
        parser = module._parser()
        _print_help(parser)
        for action in parser._actions:
            for command in (getattr(action, "choices", None) or {}).values():
                if hasattr(command, "format_help"):
                    _print_help(command)


def _print_help(parser: Any) -> None:
    print(f"## {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")


def _print_fields(schema: dict[str, Any], prefix: str) -> None:
    for name, field in schema.get("properties", {}).items():
        kind = field.get("type") or ("constant" if "const" in field else "one of")
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        meaning = field.get("description", "")
        if "const" in field:
            meaning = f"`{json.dumps(field['const'])}`. {meaning}"
        print(f"| `{prefix}{name}` | {kind} | {meaning} |")
        _print_fields(field, f"{prefix}{name}.")
        _print_fields(field.get("items", {}), f"{prefix}{name}[].")


def _ms(row: dict[str, Any]) -> str:
    return f"{row['median_ms']:.2f}" if row["status"] == "done" else ""


def _released() -> dict[str, Any]:
    from pipeline.checkpoint import RELEASED, SPEC_FILE

    document: dict[str, Any] = json.loads((RELEASED / SPEC_FILE).read_text(encoding="utf-8"))
    return document


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document
