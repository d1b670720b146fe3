"""The generated parts of README, model card and docs: functions that cog calls to write them.

In: ``docs/results/*.json`` (runs of `make release`), the released checkpoint, the schemas, the
command lines. Out: Markdown, printed. `make docs` writes it; `make check` and a test check that it
is current.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def results_table() -> None:
    """A row per artifact: size, agreement, accuracy, latency."""
    export = _read("export.json")
    times = {(row["name"], row["threads"]): row for row in _read("benchmark.json")["rows"]}
    print(
        "| artifact | bytes | zipped | max \\|Δp\\| to PyTorch | labels that differ "
        "| of fp32's labels | AUROC | ms (1 thread) |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for artifact in export["artifacts"]:
        name = f"{artifact['format']} {artifact['precision']}"
        if artifact["verdict"] != "pass":
            accuracy = artifact["accuracy"] or {}
            why = "; ".join(accuracy.get("broken_limits", ())) or artifact["parity"]["reason"]
            word = artifact["verdict"].replace("_", " ")
            print(f"| {name} | {_bytes(artifact)} | {word}: {why} | | | | | |")
            continue
        parity, time = artifact["parity"], times[name, 1]
        print(
            f"| {name} | {_bytes(artifact)} | {time['zipped_bytes']:,} "
            f"| {parity['max_abs_diff']:.1e} | {parity['label_flips']} "
            f"| {_against_fp32(artifact['accuracy'])} | {_ms(time)} |"
        )
    eager = times["PyTorch eager", 1]
    print(f"| PyTorch eager | {eager['size_bytes']:,} | | | | | | {_ms(eager)} |")
    print()
    ways = dict.fromkeys(a["parity"]["how"] for a in export["artifacts"] if a["parity"]["how"])
    print(f"Files {', '.join(ways)}. Compared on {export['images']}: with PyTorch using the same")
    print(
        "weights (differences, labels), and with the fp32 model (labels, AUROC; validation images"
    )
    print(f"only). Latency: {benchmark_setting()}")
    for name, reasons in export["refused"].items():
        for reason in dict.fromkeys(reasons.values()):
            precisions = ", ".join(p for p, why in reasons.items() if why == reason)
            print(f"{name} has no {precisions}: {reason}.")


def _bytes(artifact: dict[str, Any]) -> str:
    return "" if artifact["size_bytes"] is None else f"{artifact['size_bytes']:,}"


def _against_fp32(accuracy: dict[str, Any] | None) -> str:
    if accuracy is None or "auroc" not in accuracy:
        return "|"
    return f"{accuracy['label_flips']} | {accuracy['auroc']:.4f}"


def benchmark_setting() -> str:
    """Where and how the times were measured."""
    document = _read("benchmark.json")
    machine = document["machine"]
    return (
        f"median of {document['rounds']} interleaved rounds of {document['round_s']} s on "
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}."
    )


def web_download() -> None:
    """What a first visit of the page downloads."""
    document = _read("web.json")
    print("| first visit | files | bytes | bytes, gzipped |")
    print("| --- | ---: | ---: | ---: |")
    for name, sizes in document["first_visit"].items():
        name = f"model ({document['model']['precision']})" if name == "model" else name
        print(f"| {name} | {sizes['files']} | {sizes['bytes']:,} | {sizes['gzip_bytes']:,} |")
    runtime = document["runtime"]
    print()
    print(
        f"The runtime is {runtime['package']} {runtime['version']}, whose files are packed already."
    )


def web_agreement() -> None:
    """How far a browser's outputs are from those that the golden pack requires."""
    document = _read("web_golden.json")
    print("| precision | max \\|Δp\\| to the golden pack | allowed | evidence |")
    print("| --- | ---: | ---: | ---: |")
    for name, row in document["precisions"].items():
        print(
            f"| {name} | {row['max_abs_diff']:.1e} | {row['allowed']:.0e} "
            f"| {row['evidence_diff']:.1e} |"
        )
    model = document["model"]
    print()
    print(
        f"{model['name']} {model['version']} on the {document['images']} golden images, in "
        f"{document['browser']}. Evidence: from onnxruntime's, as a share of the image's largest."
    )


def expected_times() -> None:
    """How long the first commands took on a fresh clone."""
    document = _read("fresh_clone.json")
    seconds = document["seconds"]
    print("| step | seconds |")
    print("| --- | ---: |")
    print(f"| installing, once (`make setup`, done by both) | {seconds['make setup']} |")
    for command in ("make export", "make test-fast", "make test"):
        print(f"| `{command}` | {seconds[command]} |")
    print()
    print(f"Measured on {document['machine']}.")


def benchmark_table() -> None:
    """All figures of the benchmark."""
    print(
        "| artifact | threads | load ms | first ms | median ms | p90 ms | of onnx fp32 "
        "| of its fp32 | peak MiB |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = _read("benchmark.json")["rows"]
    for row in (row for row in rows if row["status"] == "done"):
        print(
            f"| {row['name']} | {row['threads']} | {row['load_ms']:.1f} | {row['first_ms']:.1f} "
            f"| {row['median_ms']:.2f} | {row['p90_ms']:.2f} | {_spread(row, 'ratio')} "
            f"| {_spread(row, 'of_fp32')} | {row['peak_mb']:.0f} |"
        )
    _print_undone(rows)


def peers_table() -> None:
    """The benchmark with peers: a row per runtime and thread count, fastest first."""
    rows = _read("peers.json")["rows"]
    print(
        "| runtime | threads | median ms | p90 ms | of the best fp32 | of onnx fp32 "
        "| max \\|Δp\\| |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    done = [row for row in rows if row["status"] == "done"]
    for row in sorted(done, key=lambda row: (row["threads"], row["median_ms"])):
        name = f"{row['name']} ({row['detail']})" if row["precision"] == "default" else row["name"]
        name = f"**{name}**" if row["group"] == "ours" else name
        print(
            f"| {name} | {row['threads']} | {row['median_ms']:.2f} | {row['p90_ms']:.2f} "
            f"| {_spread(row, 'of_best')} | {_spread(row, 'ratio')} | {_held(row)} |"
        )
    print()
    for timed in dict.fromkeys(row["timed"] for row in done):
        names = ", ".join(dict.fromkeys(row["name"] for row in done if row["timed"] == timed))
        print(f"- {names}: {timed}.")
    _print_undone(rows)


def _held(row: dict[str, Any]) -> str:
    """A row's difference from PyTorch in fp32; for other weights, see parity with their variant."""
    return "" if row["limit"] is None else f"{row['max_abs_diff']:.0e}"


def _print_undone(rows: list[dict[str, Any]]) -> None:
    """What failed or was not run, one line per reason."""
    print()
    undone = [row for row in rows if row["status"] != "done"]
    for reason in dict.fromkeys((row["status"], row["reason"]) for row in undone):
        names = dict.fromkeys(r["name"] for r in undone if (r["status"], r["reason"]) == reason)
        print(f"- {', '.join(names)}: {reason[0].replace('_', ' ')}: {reason[1]}.")


def _spread(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def compression_table() -> None:
    """The released compressed checkpoints, compared with their parent."""
    from dataclasses import asdict

    from pipeline.metrics.quality_limits import LIMITS

    print(
        "| precision | AUROC | loss (95 % interval) | recall | labels that differ "
        "| lost, gained (McNemar p) | recipe |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for precision in ("int8", "w4", "w3"):
        spec = _released(precision)
        if spec is None:
            continue
        found, recipe = spec["compression"]["comparison"], spec["training"]["compression"]
        drop = found["auroc_drop"]
        epochs = (
            f"{recipe['epochs']} epochs, peak {recipe['lr']}" if recipe["epochs"] else "rounded"
        )
        print(
            f"| {precision} | {found['auroc']:.4f} "
            f"| {drop['value']:.4f} ({drop['low']:.4f} to {drop['high']:.4f}) "
            f"| {found['recall']:.3f} | {found['label_flips']} of {found['images']} "
            f"| {found['lost']}, {found['gained']} ({found['mcnemar_p']:.2f}) | {epochs} |"
        )
    limits = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in asdict(LIMITS).items()
    )
    print(
        f"\nLimits of the gate: {limits}. A compressed model is not published where the 95 % "
        "interval of a figure lies beyond its limit."
    )


def metrics_table() -> None:
    """The released model's figures with their intervals."""
    spec = _released()
    print("| figure | value | 95 % interval |")
    print("| --- | ---: | --- |")
    for name, figure in spec["metrics"].items():
        if isinstance(figure, dict):
            value, span = figure["value"], f"{figure['low']:.3f} to {figure['high']:.3f}"
        else:
            value, span = figure, ""
        print(f"| {name} | {value:.3f} | {span} |")


def seeds_table() -> None:
    """The released recipe with several seeds: how much its figures vary by chance."""
    recipe = _read("ablation.json")["rows"][0]
    seeds = recipe["seeds"]
    print("| figure | mean | standard deviation | " + " | ".join(f"seed {s}" for s in seeds) + " |")
    print("| --- | ---: | ---: |" + " ---: |" * len(seeds))
    for name, figure in recipe["figures"].items():
        values = " | ".join(f"{value:.3f}" for value in figure["values"])
        print(f"| {name} | {figure['mean']:.3f} | {figure['std']:.3f} | {values} |")


def ablation_table() -> None:
    """The released recipe, and the same with one thing changed."""
    recipe, *variants = _read("ablation.json")["rows"]
    (seed,) = {seed for row in variants for seed in row["seeds"]}
    within = next(name for name in recipe["figures"] if name.startswith("auroc_within_"))
    print(f"| recipe (seed {seed}) | AUROC | {within.replace('_', ' ')} | calibration error |")
    print("| --- | ---: | ---: | ---: |")
    for row in (recipe, *variants):
        place = row["seeds"].index(seed)
        auroc, source, error = (
            f"{row['figures'][name]['values'][place]:.3f}"
            for name in ("auroc", within, "calibration_error")
        )
        print(f"| {row['variant']} | {auroc} | {source} | {error} |")


def comparison_table(name: str) -> None:
    """Topologies under a protocol, as `python -m pipeline compare` measured them."""
    document = _read(name)
    config = document["request"]["config"]
    print(
        "| topology | protocol | initial weights | parameters | epochs to the target | accuracy "
        "| recall | specificity | AUROC | training s |"
    )
    print("| --- | --- | --- | ---: | --- | --- | --- | --- | --- | ---: |")
    last = "fine-tuned" if config["finetune_epochs"] else "frozen"
    for row in document["rows"]:
        if row["stage"] != last:
            continue
        figures = _intervals(row, "accuracy", "recall", "specificity", "auroc")
        epochs = ", ".join("not reached" if n is None else str(n) for n in row["target_epochs"])
        print(
            f"| {row['topology']} | {row['protocol']} | {row['initial_weights']} "
            f"| {row['parameters']:,} | {epochs} | {figures} | {row['training_s']:.0f} |"
        )
    seeds = ", ".join(map(str, document["request"]["seeds"]))
    print(
        f"\n{config['frozen_epochs']} epochs with the body frozen, {config['finetune_epochs']} "
        f"with all layers learning, {config['side']} px, batch size {config['batch_size']}, seed "
        f"{seeds}; target: an accuracy of {document['request']['target_accuracy']:g}. Decision: "
        "the most probable label; 95 % intervals, by patient."
    )


def decision_table(name: str) -> None:
    """What the trials of a comparison decide with the thresholds in their checkpoints."""
    document = _read(name)
    print("| topology | protocol | threshold | accuracy | recall | specificity |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in document["rows"]:
        if row["decision"] is None:
            continue
        thresholds = ", ".join(f"{value:.3f}" for value in row["decision"]["thresholds"])
        figures = _intervals(row["decision"], "accuracy", "recall", "specificity")
        print(f"| {row['topology']} | {row['protocol']} | {thresholds} | {figures} |")


def _intervals(row: dict[str, Any], *names: str) -> str:
    """Cells of figures, each with its interval."""
    figures = (row["figures"][name] for name in names)
    return " | ".join(f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})" for f in figures)


def topologies_table() -> None:
    """Each network through compressing and exporting: which files are right, and what it took."""
    from benchmarks.topologies.row import read_topologies
    from benchmarks.topologies.summary import markdown

    print(markdown(read_topologies(RESULTS / "topologies.json")))


def topologies_share() -> None:
    """How many of these files are right, in one sentence."""
    from benchmarks.topologies.row import read_topologies
    from benchmarks.topologies.summary import share

    print(f"{share(read_topologies(RESULTS / 'topologies.json'))}.")


def trained_topologies_table() -> None:
    """Whether the networks of a comparison pass, and how much they differ from PyTorch."""
    document = _read("topologies_trained.json")
    precisions = ("fp32", "fp16")
    print("| trained in the study | passed | max \\|Δp\\| fp32 | fp16 | evidence fp32 | fp16 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in document["rows"]:
        figures = [
            max(a[key] for a in row["artifacts"] if a["precision"] == p and a[key] is not None)
            for key in ("max_abs_diff", "evidence_diff")
            for p in precisions
        ]
        cells = " | ".join(f"{figure:.1e}" for figure in figures)
        print(f"| {row['architecture']} | {_passed(row)} | {cells} |")
    settings = document["settings"]
    print(
        f"\nThe largest difference of any format, on {settings['images']} validation images of "
        f"{settings['data']} at {_sides(document)} px, the golden and the hard set."
    )
    _print_failed(document)


def _sides(document: dict[str, Any]) -> str:
    return ", ".join(str(side) for side in dict.fromkeys(row["side"] for row in document["rows"]))


def _passed(row: dict[str, Any]) -> str:
    passed = row["verdicts"].get("pass", 0)
    return f"{passed} of {passed + row['verdicts'].get('fail', 0)}"


def _print_failed(document: dict[str, Any]) -> None:
    failed = [
        f"- **{row['architecture']} {a['format']} {a['precision']} failed**: {a['reason']}"
        for row in document["rows"]
        for a in row["artifacts"]
        if a["verdict"] == "fail"
    ]
    if failed:
        print("\n" + "\n".join(failed))


def training_table() -> None:
    """Time to a validation AUROC, ours compared with plain fastai."""
    document = _read("training.json")
    print("| training | seed | s | epochs | AUROC after each |")
    print("| --- | ---: | ---: | ---: | --- |")
    for row in document["rows"]:
        seconds = row["reason"] if row["seconds"] is None else f"{row['seconds']:.1f}"
        curve = row["curve"] if len(row["curve"]) < 7 else [*row["curve"][:5], row["curve"][-1]]
        aurocs = ", ".join(f"{auroc:.3f}" for _, auroc in curve)
        print(f"| {row['name']} | {row['seed']} | {seconds} | {row['epochs']} | {aurocs} |")
    where = document["machine"]
    bounds = "".join(
        f" With seed {seed} it takes less than {bound:.2f} x: plain fastai did not reach it."
        for seed, bound in document["ratio_below"].items()
    )
    print(
        f"\nTo a validation AUROC of {document['target_auroc']:g}: ours takes "
        f"{document['median_ratio']:.2f} x the time, as the median over the seeds with which both "
        f"reach it ({', '.join(map(str, document['ratios']))}).{bounds} "
        f"{document['threads']} thread(s), {where['processor']}, {where['cores']} cores."
    )


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
        f"with all layers learning; batch size {training['batch_size']}, seed {training['seed']}"
    )
    print(f"- logits divided by a temperature of {training['temperature']:.3f}")
    if "calibration" in training:
        found = training["calibration"]
        for name, what in (("nll", "NLL"), ("error", "calibration error")):
            before, after = found["before"][name], found["after"][name]
            print(f"- {what} {before:.3f} before, {after:.3f} after (cross-validated)")
        if found["caution"]:
            print(f"- {found['caution']}")
    print(f"- decision: `{spec['positive']}` if its probability is at least {spec['threshold']}")
    print(
        f"- {spec['weights']['parameters']:,} parameters, {spec['weights']['size_bytes']:,} bytes"
    )


def manifest_fields() -> None:
    """The manifest, field by field, from its schema."""
    _print_schema("manifest/manifest.schema.json")


def mistakes_table() -> None:
    """Preprocessing mistakes, what each costs, and the one limit."""
    document = _read("robustness.json")
    from export.images.preprocessing_mistakes import MISTAKES

    print(
        "| mistake | what happens | seen with | flips (95 % interval) | AUROC | max \\|Δp\\| "
        "| mean \\|Δp\\| | limit |"
    )
    print("| --- | --- | --- | --- | ---: | ---: | ---: | --- |")
    print(f"| none | | | | {document['auroc']:.4f} | | | |")
    rows = {row["name"]: row for row in document["rows"]}
    for mistake in MISTAKES:
        about = f"| `{mistake.name}` | {mistake.does} | {mistake.seen_in} "
        if mistake.name not in rows:
            print(f"{about}| no such images here | | | | |")
            continue
        row = rows[mistake.name]
        limit = f"{row['limit']:.0%}: {row['verdict']}" if row["limit"] is not None else ""
        print(
            f"{about}| {row['flips']} = {row['flip_rate']:.1%} ({row['low']:.1%} to "
            f"{row['high']:.1%}) | {row['auroc']:.4f} | {row['max_abs_diff']:.3f} "
            f"| {row['mean_abs_diff']:.4f} | {limit} |"
        )
    same = [f"`{row['name']}`" for row in document["rows"] if not row["changed"]]
    print(
        f"\n{document['model']}, {document['artifact']}, on {document['source']}; flips: labels "
        f"that change at the threshold of {document['threshold']}. Interval: Wilson's, images "
        "taken as independent."
    )
    if same:
        print(f"With grey images {', '.join(same)} gives the same pixels.")


def mistake_sources() -> None:
    """Where each mistake is documented or reported."""
    from export.images.preprocessing_mistakes import MISTAKES

    for mistake in MISTAKES:
        links = ", ".join(f"<{url}>" for url in mistake.source.split("; "))
        print(f"- `{mistake.name}`: {links}")


def golden_cases() -> None:
    """The golden images of the released model."""
    from export.images.golden_images import golden_images
    from pipeline.resize.notation import resize_by

    images = golden_images(resize_by("squish", _released()["side"]))
    print("| case | file | allowed: any value, mean | shows |")
    print("| --- | --- | --- | --- |")
    for image in images:
        allowed = f"{image.tolerance.max_abs}, {image.tolerance.mean_abs:g}"
        print(f"| `{image.name}` | {image.suffix[1:].upper()} | {allowed} | {image.why} |")
    print()
    for tolerance in dict.fromkeys(image.tolerance for image in images):
        print(f"- {tolerance.max_abs}, {tolerance.mean_abs:g}: {tolerance.reason}.")


def golden_fields() -> None:
    """golden.json, field by field, from its schema."""
    _print_schema("golden/golden.schema.json")


def report_fields() -> None:
    """report.json, field by field, from its schema."""
    _print_schema("report/report.schema.json")


def faults_table() -> None:
    """A row per planted fault: the parts of the check that found it, by format."""
    document = _read("faults.json")
    formats = list(dict.fromkeys(entry["format"] for entry in document["faults"]))
    print(f"| planted fault | {' | '.join(formats)} |")
    print("| --- |" + " --- |" * len(formats))
    for fault in dict.fromkeys(entry["fault"] for entry in document["faults"]):
        found = {e["format"]: e["caught_by"] for e in document["faults"] if e["fault"] == fault}
        cells = [", ".join(found[name]) if found.get(name) else "" for name in formats]
        print(f"| {fault} | {' | '.join(cells)} |")


def controls_table() -> None:
    """Harmless changes, which must pass."""
    print("| harmless change | format | verdict |")
    print("| --- | --- | --- |")
    for entry in _read("faults.json")["controls"]:
        verdict = ", ".join(entry["caught_by"]) or "pass"
        print(f"| {entry['control']} | {entry['format']} | {verdict} |")


def explained_table() -> None:
    """Faults in files of two networks made for phones: caught, and their place named."""
    print("| network | planted in the file | files | caught | place named |")
    print("| --- | --- | ---: | ---: | ---: |")
    for path in sorted(RESULTS.glob("explained_*.json")):
        document = _read(path.name)
        for fault in dict.fromkeys(row["fault"] for row in document["explained"]):
            rows = [row for row in document["explained"] if row["fault"] == fault]
            caught, named = (sum(bool(r[key]) for r in rows) for key in ("caught_by", "named"))
            network = document["model"]["architecture"]
            print(f"| {network} | {fault} | {len(rows)} | {caught} | {named} |")


def datasets_table() -> None:
    """What the default commands make of data sets that differ, before a change and after."""
    from benchmarks.datasets.row import read_datasets
    from benchmarks.datasets.summary import markdown

    before, after = (read_datasets(RESULTS / f"{n}.json") for n in ("datasets_before", "datasets"))
    print(markdown(before, after))


def trained_table() -> None:
    """Trained networks in every precision: flips, files that are published, MB and ms."""
    from benchmarks.datasets.row import read_datasets
    from benchmarks.datasets.summary import timed

    found = read_datasets(RESULTS / "trained.json")
    print(timed(found))
    print(
        f"\nAt {found.side} px; ms: the median of one inference at one thread, and how much of "
        f"fp32's that is. {found.machine.processor}, {found.machine.cores} cores."
    )


def command_help() -> None:
    """`--help` of every command."""
    os.environ["COLUMNS"] = "100"
    from benchmarks.cli import main as benchmarks
    from export.cli import main as export
    from pipeline.cli import main as pipeline

    for module in (pipeline, export, benchmarks):
        parser = module.make_parser()
        _print_help(parser)
        for action in parser._actions:
            for command in (getattr(action, "choices", None) or {}).values():
                if hasattr(command, "format_help"):
                    _print_help(command)


def _print_help(parser: Any) -> None:
    print(f"## {parser.prog}\n\n```text\n{parser.format_help().rstrip()}\n```\n")


def _print_schema(path: str) -> None:
    """A table of the fields that the schema at `path`, below ``export/``, describes."""
    schema = json.loads((ROOT / "export" / path).read_text(encoding="utf-8"))
    print("| field | type | meaning |")
    print("| --- | --- | --- |")
    _print_fields(schema, schema.get("$defs", {}), "")


def _print_fields(schema: dict[str, Any], named: dict[str, Any], prefix: str) -> None:
    """The fields of an object; `named`: the targets of each ``$ref``."""
    for name, said in schema.get("properties", {}).items():
        field = _resolved(said, named)
        kind = field.get("type") or ("constant" if "const" in field else "one of")
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        meaning = field.get("description", "")
        if "const" in field:
            meaning = f"`{json.dumps(field['const'])}`. {meaning}"
        print(f"| `{prefix}{name}` | {kind} | {meaning} |")
        _print_fields(field, named, f"{prefix}{name}.")
        _print_fields(field.get("items", {}), named, f"{prefix}{name}[].")


def _resolved(field: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """A field with the target of its reference merged in; of "target or null" both types."""
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            target = named[choice["$ref"].rpartition("/")[2]]
            kind = [target["type"], "null"] if "anyOf" in field else target["type"]
            return {**target, **field, "type": kind}
    return field


def _ms(row: dict[str, Any]) -> str:
    return f"{row['median_ms']:.2f}" if row["status"] == "done" else ""


def _released(precision: str = "") -> Any:
    """The JSON of the released checkpoint or of a compressed one; None if there is none."""
    from pipeline.checkpoint import RELEASED, SPEC_FILE

    path = RELEASED / precision / SPEC_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document
