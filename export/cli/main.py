"""The command line of export. Heavy packages are imported by the command that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.terminal import serve

DESCRIPTION = """\
Turn a trained checkpoint into mobile models (ONNX, ORT format, TorchScript-lite, Core ML), prove
that each gives the same answers as PyTorch, and publish android_assets/, ios_assets/ and
web_assets/.
Research use only: nothing made with this program is a medical device.
"""
EPILOG = """\
examples:
  python -m export all                               the released checkpoint, everything
  python -m export all --data xrays/                 parity on your own validation images
  python -m export all --train --data xrays/         train first (as python -m pipeline train)
  python -m export check --junit parity.xml          what CI runs: is the published still right?
  python -m export verify android_assets             is a pulled folder whole? (no torch needed)
  python -m export diff old/ android_assets          what a release changes, for a pull request
  python -m export budget android_assets --only w4   what it adds to an app, against 500 KB
  python -m export golden android_assets             do image and model behave here as they must?
  python -m export web --serve                       web_assets/ as a page, on this machine
  python -m export robustness --data xrays/          what each preprocessing mistake costs
  python -m export explain coreml --precision fp16   the layer at which a file leaves PyTorch
  python -m export report                            one HTML page of the last export, no network
  python -m export doctor                            what works here, and how to mend the rest

exit codes: 0 nothing failed (what was not run is listed), 1 a conversion or check failed or a
change breaks apps, 2 the request cannot be served: bad input or a missing package (the message
says which)
"""
BUILD = Path("build/export")
IMAGES = 1000  # at most so many validation images
EMULATED_IMAGES = 10  # each takes some two seconds a file
FORMAT_NAMES = ("onnx", "ort", "torchscript", "coreml")  # a test holds both to the register
PRECISION_NAMES = ("fp32", "fp16", "int8", "w4", "w3")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    return serve(lambda: options.command(options), "the published assets are as they were")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m export", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    export_all = commands.add_parser(
        "all",
        help="convert, prove, measure, publish",
        description="Convert a checkpoint to every format, prove each file, publish what holds.",
    )
    _add_common(export_all)
    export_all.add_argument(
        "--train",
        action="store_true",
        help="train and compress a new checkpoint first, on --data or on phantoms",
    )
    export_all.add_argument(
        "--preset",
        default="paper",
        choices=("paper", "quick"),
        help="recipe of --train (default: paper)",
    )
    export_all.add_argument(
        "--formats",
        default=",".join(FORMAT_NAMES),
        metavar="A,B",
        help=f"some of {', '.join(FORMAT_NAMES)} (default: all); with fewer, "
        "assets go to build/export/assets unless --out says where",
    )
    export_all.add_argument(
        "--precisions",
        default=",".join(PRECISION_NAMES),
        metavar="A,B",
        help=f"some of {', '.join(PRECISION_NAMES)} (default: all that there are; the compressed "
        "ones need `python -m pipeline compress`); likewise",
    )
    export_all.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where android_assets/ and the others go (default: here)",
    )
    export_all.add_argument(
        "--build",
        type=Path,
        default=BUILD,
        metavar="DIR",
        help="artifacts, logs, report.json and report.html (default: build/export)",
    )
    export_all.add_argument(
        "--jobs",
        type=int,
        default=2,
        metavar="N",
        help="converters at a time (default: %(default)s)",
    )
    export_all.add_argument(
        "--no-latency", action="store_true", help="do not time the artifacts for the manifest"
    )
    export_all.add_argument(
        "--budget",
        type=_size,
        metavar="SIZE",
        help="exit 1 if a format has no published file within this, such as 500KB",
    )
    export_all.set_defaults(command=_all)

    check = commands.add_parser(
        "check",
        help="verify what is published: hashes, sizes, parity",
        description="The parity check of CI: nothing is converted, nothing is written.",
    )
    _add_common(check)
    check.add_argument(
        "--assets",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )
    foreign = check.add_mutually_exclusive_group()
    foreign.add_argument(
        "--arch",
        choices=("arm64",),
        help="run the Android files by the Arm builds of their runtimes, emulated off Arm "
        "(once: make arm64); with 10 images unless --images says how many",
    )
    foreign.add_argument(
        "--oldest",
        action="store_true",
        help="run them by the oldest runtime that the manifest promises (once: make oldest)",
    )
    check.add_argument("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    check.add_argument("--junit", type=Path, metavar="FILE", help="write it as JUnit XML")
    check.set_defaults(command=_check)

    _add_commands_on_folders(commands)

    explain = commands.add_parser(
        "explain",
        help="find the layer at which an artifact leaves PyTorch",
        description="Compare an artifact with PyTorch layer by layer, on one image.",
    )
    explain.add_argument("format", choices=FORMAT_NAMES, help="of the artifact")
    explain.add_argument("--precision", default="fp32", metavar="P", help="(default: fp32)")
    explain.add_argument(
        "--artifact",
        type=Path,
        metavar="PATH",
        help="the file or package (default: what the last export left in build/export)",
    )
    explain.add_argument(
        "--image",
        default="hard/noise_colour",
        metavar="NAME",
        help="a parity image, such as the worst one in a report (default: %(default)s)",
    )
    explain.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="of the model (default: the released one)"
    )
    explain.add_argument("--data", type=Path, metavar="PLACE", help="where the image is from")
    explain.set_defaults(command=_explain)

    _add_robustness(commands)
    _add_report(commands)

    doctor = commands.add_parser("doctor", help="which formats work here, and how to mend the rest")
    doctor.add_argument(
        "--try",
        dest="try_it",
        action="store_true",
        help="convert and run a small network in every format (half a minute)",
    )
    doctor.set_defaults(command=_doctor)
    return parser


def _add_commands_on_folders(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What mobile developers run on what they pull: the standard library is enough."""
    from export import verify
    from export.consumer import budget, diff

    raw = argparse.RawDescriptionHelpFormatter
    verifying = commands.add_parser(
        "verify",
        help="is a pulled asset folder whole and unchanged? needs no torch",
        description=verify.DESCRIPTION,
        epilog=verify.EPILOG,
        formatter_class=raw,
    )
    verify.add_arguments(verifying)
    verifying.set_defaults(command=verify.serve_verify)

    comparing = commands.add_parser(
        "diff",
        help="what changes from one asset folder to another, and what breaks apps",
        description=diff.DESCRIPTION,
        epilog=diff.EPILOG,
        formatter_class=raw,
    )
    comparing.add_argument("old", type=Path, metavar="OLD", help="asset folder or manifest.json")
    comparing.add_argument("new", type=Path, metavar="NEW", help="likewise")
    comparing.add_argument("--json", action="store_true", help="JSON on stdout, not Markdown")
    comparing.set_defaults(command=_diff)

    weighing = commands.add_parser(
        "budget",
        help="what the files add to an app's download, held against a limit",
        description=budget.DESCRIPTION,
        epilog=budget.EPILOG,
        formatter_class=raw,
    )
    weighing.add_argument("folder", type=Path, metavar="DIR", help="an asset folder")
    weighing.add_argument(
        "--limit",
        type=_size,
        default=budget.MODEL_LIMIT_BYTES,
        metavar="SIZE",
        help="of a file or package (default: 500KB, which the paper promises)",
    )
    weighing.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="what the app ships: a format, precision, both ('onnx w4') or path (repeat it)",
    )
    weighing.add_argument(
        "--total", type=_size, metavar="SIZE", help="limit of all that --only names, zipped"
    )
    weighing.add_argument(
        "--runtime-bytes",
        type=_size,
        metavar="SIZE",
        help="of the runtime in the download, from your own APK or IPA; counts towards --total",
    )
    weighing.set_defaults(command=_budget)
    golden = commands.add_parser(
        "golden",
        help="replay a folder's golden pack, or tell what an app gets wrong",
        description="Replay the golden pack of an asset folder through the resize rule and every "
        "file that has a runtime here. With --case: what an app made of that image is told apart, "
        "right, a known mistake in preprocessing, or a fault of the model. Needs no torch, but for "
        ".ptl files and one of the mistakes.",
    )
    golden.add_argument("folder", type=Path, metavar="DIR", help="an asset folder")
    golden.add_argument("--case", metavar="NAME", help="the image that the app was given")
    golden.add_argument(
        "--pixels",
        type=Path,
        metavar="FILE",
        help="what the app gave to its model for it: an RGB .png, or an .npy array",
    )
    golden.add_argument(
        "--probs", metavar="P,Q", help="what its model answered, in the order of labels.txt"
    )
    golden.add_argument(
        "--artifact", metavar="FILE", help="the file that it ran, as the folder names it"
    )
    golden.add_argument("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    golden.add_argument(
        "--strict", action="store_true", help="exit 1 also if something could not be run here"
    )
    golden.set_defaults(command=_golden)

    web = commands.add_parser(
        "web",
        help="web_assets/ with its runtime beside it: a page to host or to serve here",
        description="Copy an asset folder for the web, put the runtime beside it (by npm, as its "
        "package-lock.json pins it), and write the hashes by which the page is kept offline. "
        "States what a first visit downloads. The result is a folder for any static host.",
    )
    web.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("web_assets"),
        metavar="DIR",
        help="an asset folder for the web (default: web_assets)",
    )
    web.add_argument(
        "--out", type=Path, default=Path("build/web"), metavar="DIR", help="(default: build/web)"
    )
    web.add_argument("--serve", action="store_true", help="then serve it on 127.0.0.1")
    web.add_argument("--port", type=int, default=8000, metavar="N", help="(default: 8000)")
    web.add_argument(
        "--json", type=Path, metavar="FILE", help="write the sizes also here, as download.json"
    )
    web.set_defaults(command=_web)


def _add_robustness(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    robustness = commands.add_parser(
        "robustness",
        help="what each preprocessing mistake of apps costs: labels that flip, AUROC",
        description="Replay the validation images through the filters and mistakes of phones. "
        "Exit code 1 if plain bilinear flips more labels than its limit.",
    )
    _add_common(robustness)
    robustness.add_argument(
        "--assets",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )
    robustness.add_argument(
        "--format", default="onnx", choices=FORMAT_NAMES, help="of the file (default: onnx)"
    )
    robustness.add_argument("--precision", default="fp32", metavar="P", help="(default: fp32)")
    robustness.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON")
    robustness.set_defaults(command=_robustness)

    archiving = commands.add_parser(
        "archive",
        help="the asset folders as zip files to publish, with SHA256SUMS",
        description="Write NAME-VERSION-PLATFORM.zip of each asset folder, the same bytes every "
        "time, and SHA256SUMS. A folder must be as its manifest says; no archive is replaced by "
        "another of its name.",
    )
    archiving.add_argument(
        "--assets",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )
    archiving.add_argument(
        "--out", type=Path, default=Path("dist"), metavar="DIR", help="(default: dist)"
    )
    archiving.add_argument("--tag", metavar="TAG", help="such as v2.0.0: must be their version")
    archiving.set_defaults(command=_archive)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reporting = commands.add_parser(
        "report",
        help="one HTML file of what a report says: verdicts, charts, code to integrate",
        description="Write one self-contained HTML page from the JSON of an export: nothing is "
        "converted or measured, and the page makes no request. What is not there is listed in it, "
        "with the reason.",
    )
    places = {
        "report": "report.json of an export (default: build/export/report.json if it is there, "
        "else docs/results/export.json, which is the release's)",
        "benchmark": "results of the benchmark (default: build/benchmarks/results.json, else "
        "docs/results/benchmark.json)",
        "peers": "results beside other runtimes (default: build/benchmarks/peers.json, else "
        "docs/results/peers.json)",
        "faults": "planted faults (default: docs/results/faults.json)",
        "out": "the page (default: build/export/report.html)",
    }
    for name, said in places.items():
        reporting.add_argument(f"--{name}", type=Path, metavar="FILE", help=said)
    reporting.set_defaults(command=_report)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoint (default: the released one)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PLACE",
        help="folder or .csv of images; parity is proven on its validation split "
        "(default: embedded synthetic samples)",
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="at most so many validation images (default: 1000)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit 1 also if something could not be run here"
    )


def _all(options: argparse.Namespace) -> int:
    from export.run.export_all import ExportRequest, export_all, plan
    from pipeline.checkpoint import RELEASED
    from pipeline.errors import BadInput
    from pipeline.terminal import open_console

    formats = _names(options.formats, "--formats", FORMAT_NAMES)
    precisions = _names(options.precisions, "--precisions", PRECISION_NAMES)
    every = set(precisions) == set(PRECISION_NAMES)
    chosen = () if every else precisions  # all: those that each format has
    plan(formats, chosen)  # refuse before training
    _refuse_below_one(options, "images", "jobs")
    if options.train and options.checkpoint:
        raise BadInput("--train makes a checkpoint and --checkpoint names one; give one of them")
    checkpoint = _train(options) if options.train else options.checkpoint or RELEASED
    whole = set(formats) == set(FORMAT_NAMES) and every
    request = ExportRequest(
        checkpoint=checkpoint,
        data=options.data,
        formats=formats,
        precisions=chosen,
        root=options.out or (Path() if whole else options.build / "assets"),
        build=options.build,
        image_limit=options.images or IMAGES,
        jobs=options.jobs,
        latency=not options.no_latency,
        strict=options.strict,
        budget_bytes=options.budget,
    )
    return export_all(request, open_console())


def _names(given: str, option: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in a comma-separated list; which of them exist is for `plan` to say."""
    from pipeline.errors import BadInput

    names = tuple(name.strip() for name in given.split(",") if name.strip())
    if not names:
        raise BadInput(f"{option} names none; there are: {', '.join(known)}")
    return names


def _train(options: argparse.Namespace) -> Path:
    """Train, then compress to what is asked for; `quick` rounds without fine-tuning."""
    from pipeline.compress.compress import compress
    from pipeline.compress.recipes import PRECISIONS
    from pipeline.config import PRESETS, TrainConfig
    from pipeline.training.train import train

    checkpoint = train(TrainConfig(**PRESETS[options.preset]), options.data, overwrite=True)
    precisions = [p for p in PRECISIONS if p in options.precisions.split(",")]
    if precisions:
        changes = {"epochs": 0} if options.preset == "quick" else {}
        compress(checkpoint, options.data, precisions, changes=changes)
    return checkpoint


def _check(options: argparse.Namespace) -> int:
    from export.report.document import exit_code, print_verdict, report_document, to_json, to_junit
    from export.run.check_published import check_published
    from pipeline.atomic_files import write_text
    from pipeline.checkpoint import RELEASED
    from pipeline.terminal import open_console

    _refuse_below_one(options, "images")
    rows, images = check_published(
        options.assets,
        options.checkpoint or RELEASED,
        options.data,
        options.images or (EMULATED_IMAGES if options.arch else IMAGES),
        "oldest" if options.oldest else options.arch,
    )
    document = report_document("check", rows, images)
    if options.json:
        write_text(options.json, to_json(document))
    if options.junit:
        write_text(options.junit, to_junit(document))
    print_verdict(open_console(), rows, images)
    return exit_code(rows, options.strict)


def _explain(options: argparse.Namespace) -> int:
    from export.deploy.variants import missing_twin
    from export.errors import CannotRunHere, Unreadable
    from export.formats import FORMATS
    from export.parity.layer_diff import explain, print_explanation
    from export.parity.reference import build_references
    from export.run.convert import artifact_name
    from pipeline.checkpoint import RELEASED, read_spec
    from pipeline.errors import BadInput
    from pipeline.terminal import open_console

    precisions = FORMATS[options.format].TOLERANCES
    if options.precision not in precisions:
        raise BadInput(f"{options.format} comes in {', '.join(precisions)}")
    checkpoint = options.checkpoint or RELEASED
    name = artifact_name(read_spec(checkpoint).name, options.format, options.precision)
    path = options.artifact or BUILD / name
    if not path.exists():
        raise BadInput(f"no artifact at {path}; name it with --artifact, or export first")
    absent = missing_twin(checkpoint, FORMATS[options.format].TWINS[options.precision])
    if absent:
        raise BadInput(absent)
    references = build_references(checkpoint, options.data, IMAGES, twins=())
    reference = references.of(FORMATS[options.format].TWINS[options.precision])
    if options.image not in reference.images.names:
        some = ", ".join(reference.images.names[:2] + reference.images.names[-2:])
        raise BadInput(f"no image {options.image!r}; there are {some} and others")
    try:
        found = explain(options.format, options.precision, path, reference, options.image)
    except (Unreadable, CannotRunHere) as error:
        raise BadInput(str(error)) from error
    print_explanation(open_console(), found)
    return int(any(place.differs for place in found.places))


def _report(options: argparse.Namespace) -> int:
    from export.report.page.write import write_page

    given = {name: getattr(options, name) for name in ("benchmark", "peers", "faults")}
    print(write_page(options.report, options.out, given))
    return 0


def _golden(options: argparse.Namespace) -> int:
    from export.golden.replay import replay
    from export.golden.report import print_replay, replay_document
    from export.report.document import to_json
    from pipeline.atomic_files import write_text
    from pipeline.errors import BadInput
    from pipeline.terminal import open_console

    given = [o for o in ("pixels", "probs", "artifact") if getattr(options, o) is not None]
    if options.case is not None:
        return _diagnose(options)
    if given:
        raise BadInput(f"--{given[0]} is of one image: name it with --case")
    found = replay(options.folder)
    print_replay(open_console(), found)
    if options.json:
        write_text(options.json, to_json(replay_document(found)))
    return int(found.failed or (options.strict and found.not_run))


def _diagnose(options: argparse.Namespace) -> int:
    from export.golden.diagnosis import diagnose, read_answer, read_app_pixels
    from export.golden.replay import read_both
    from export.golden.report import diagnosis_document
    from export.report.document import to_json
    from pipeline.atomic_files import write_text
    from pipeline.errors import BadInput

    if options.pixels is None and options.probs is None:
        raise BadInput("--case needs what the app made of it: --pixels, --probs or both")
    pack, artifacts = read_both(options.folder)
    pixels = options.pixels and read_app_pixels(options.pixels, pack.side)
    answer = None
    if options.probs is not None:
        answer = read_answer(options.probs, options.artifact, artifacts)
    found = diagnose(pack, options.case, pixels, answer)
    for sentence in found.sentences:
        print(sentence)
    if options.json:
        write_text(options.json, to_json(diagnosis_document(found)))
    return int(found.faulty)


def _robustness(options: argparse.Namespace) -> int:
    from export.report.document import to_json
    from export.run.robustness import (
        NO_DATA,
        print_robustness,
        published_robustness,
        robustness_document,
    )
    from pipeline.atomic_files import write_text
    from pipeline.checkpoint import RELEASED
    from pipeline.terminal import open_console

    _refuse_below_one(options, "images")
    found, reason = None, NO_DATA
    if options.data is not None:
        found, reason = published_robustness(
            options.assets,
            options.checkpoint or RELEASED,
            (options.format, options.precision),
            options.data,
            options.images or IMAGES,
        )
    print_robustness(open_console(), found, reason)
    if options.out:
        write_text(options.out, to_json(robustness_document(found, reason)))
    if found is None:
        return int(options.strict)
    return int(bool(found.broken))


def _diff(options: argparse.Namespace) -> int:
    from export.consumer.diff import compare, read
    from export.consumer.diff_report import to_json, to_markdown

    old, new = read(options.old), read(options.new)
    changes = compare(old, new)
    print((to_json if options.json else to_markdown)(old, new, changes), end="")
    return int(any(change.breaking for change in changes))


def _budget(options: argparse.Namespace) -> int:
    from export.consumer.budget import to_markdown, weigh

    found = weigh(options.folder, options.limit, options.only, options.total, options.runtime_bytes)
    print(to_markdown(found, options.only), end="")
    return int(bool(found.faults))


def _archive(options: argparse.Namespace) -> int:
    from export.publish.release_archives import archive_assets

    for path in archive_assets(options.assets, options.out, options.tag):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def _web(options: argparse.Namespace) -> int:
    from export.publish.web_site import build_site, print_download, serve_site
    from export.report.document import to_json
    from pipeline.atomic_files import write_text
    from pipeline.errors import BadInput

    if not 0 <= options.port <= 65535:
        raise BadInput(f"--port {options.port}: need 0 to 65535; 0 takes a free one")
    download = build_site(options.folder, options.out)
    print_download(download, options.out)
    if options.json:
        write_text(options.json, to_json(download))
    if options.serve:
        serve_site(options.out, options.port)
    return 0


def _size(given: str) -> int:
    from export.consumer.budget import parse_bytes

    try:
        return parse_bytes(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _doctor(options: argparse.Namespace) -> int:
    from rich.table import Table

    from export.run.doctor import examine, out_of_range
    from pipeline.terminal import open_console

    findings = examine(options.try_it)
    table = Table(title="Formats here")
    for column in ("format", "convert", "run"):
        table.add_column(column)
    for finding in findings:
        table.add_row(finding.format, finding.convert, finding.run)
    console = open_console()
    console.print(table)
    for finding in findings:  # below the table, where a command is not wrapped
        if finding.mend:
            print(f"{finding.format}: {finding.mend}")
    ranges = out_of_range()
    for sentence in ranges:
        console.print(sentence, markup=False)
    return 2 if ranges or any(finding.mend for finding in findings) else 0


def _refuse_below_one(options: argparse.Namespace, *names: str) -> None:
    from pipeline.errors import BadInput

    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadInput(f"--{name} {value}: need at least 1")
