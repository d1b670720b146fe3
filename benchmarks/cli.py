"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.terminal.console import serve

DESCRIPTION = """\
Time every published artifact and PyTorch eager on this machine's CPU: one process each, with a
fixed thread count, in interleaved rounds, so that noise affects all of them alike. Compare ratios,
not milliseconds of different machines: each is the median over the rounds of the ratio within a
round, followed by the 10th and 90th percentile.
"""
PEERS_DESCRIPTION = """\
Time the same network with the same weights under other runtimes and in our artifacts, in one run:
OpenVINO, ncnn, LiteRT, ExecuTorch, PyTorch eager, and two recipes from tutorials. `make peers`
installs them, each in its own environment; a runtime that is not installed has a row without
figures. Every row's probabilities are compared with PyTorch's before it is timed.

A timed call takes the bitmap, uint8 (1, H, W, 3), and returns probabilities: normalisation and
softmax are inside. The tutorials' recipes take float32 NCHW pixels that were normalised outside the
timed call, which favours them.
"""
TRAINING_DESCRIPTION = """\
Train SqueezeNet 1.1 with this project's default recipe and with plain fastai, as in its tutorials
(`vision_learner(...).fine_tune(...)`), on the same images from the same weights, until the
validation AUROC reaches a target. The two take turns, one process each; ratios are taken within a
seed. The validation images decide when to stop, so the times say nothing about quality.
"""

TOPOLOGIES_DESCRIPTION = """\
Compress and export one topology after the other: wall time, peak memory of all processes, verdict
and size of every artifact. Weights are drawn, and rounded to int8 and w4 without training, or those
of --checkpoints. A file passes or not whatever its precision costs the network. A row that is there
is kept unless code, tools or settings have changed, so a stopped run goes on where it was. Linux
only, because the memory is read from /proc.
"""
DATASETS_DESCRIPTION = """\
Train, compress and export on data sets that differ: grey and colour, 2 to 120 labels, 100 to 5,000
images, balanced and not; drawn, or part of scikit-learn. Each row says what passed of every
precision. Commands have their defaults, but for the side of the images and the network. --data
takes images of your own. --code runs another state of this project, such as one of `git worktree
add`: so a change is compared with what was before.
"""
FAULTS_DESCRIPTION = """\
Plant every known fault in real artifacts of a checkpoint, one at a time, check each as a release is
checked, and print which part of the check caught it. Controls change bytes and nothing else, and
must pass. Exit code 0: every fault caught, no control flagged.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all done or not run with a reason, 1: one failed, 2: bad input."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), "nothing was written")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(
        command=_run,
        assets=Path(),
        checkpoint=None,
        threads=[1, 2],
        rounds=10,
        seconds=0.3,
        out=Path("build/benchmarks"),
    )
    _add_options(parser, "results.json and latency.png")
    commands = parser.add_subparsers(metavar="COMMAND")
    peers = commands.add_parser(
        "peers",
        help="compare with other runtimes (`make peers` installs them)",
        description=PEERS_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(peers, "peers.json, peers.png and what was converted")
    peers.add_argument(
        "--only",
        type=_names,
        default=(),
        metavar="NAMES",
        help="only these peers: openvino,ncnn (default: all); ours are always timed",
    )
    peers.set_defaults(command=_run_peers)
    training = commands.add_parser(
        "training",
        help="time to a validation AUROC, compared with plain fastai",
        description=TRAINING_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    training.add_argument(
        "--data", type=Path, required=True, help="folder or .csv table of images, two labels"
    )
    training.add_argument(
        "--target", type=float, default=0.9, metavar="A", help="AUROC to reach (default: 0.9)"
    )
    training.add_argument(
        "--seeds", type=int, nargs="+", default=[2, 3, 4], metavar="N", help="(default: 2 3 4)"
    )
    training.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of torch (default: 1)"
    )
    training.add_argument(
        "--out",
        type=Path,
        default=Path("build/benchmarks"),
        metavar="DIR",
        help="for training.json (default: build/benchmarks)",
    )
    training.set_defaults(command=_run_training)
    topologies = commands.add_parser(
        "topologies",
        help="some fifty topologies in every format: what passes, time, memory, sizes",
        description=TOPOLOGIES_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    topologies.add_argument(
        "--only",
        type=_names,
        default=(),
        metavar="NAMES",
        help="only these topologies: resnet34,timm/resnet18d (default: all of "
        "benchmarks/topologies/names.py)",
    )
    topologies.add_argument(
        "--side",
        type=int,
        default=128,
        metavar="N",
        help="of the images of networks with drawn weights, more where one needs it "
        "(default: 128 px)",
    )
    topologies.add_argument(
        "--checkpoints",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="export these trained networks, such as the trials of `pipeline compare`",
    )
    topologies.add_argument(
        "--data",
        type=Path,
        metavar="PLACE",
        help="the images they were trained on (default: the embedded phantoms)",
    )
    topologies.add_argument(
        "--images",
        type=int,
        default=11,
        metavar="N",
        help="validation images at most, besides the golden and hard ones (default: 11)",
    )
    topologies.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="converters at a time (default: 2)"
    )
    topologies.add_argument(
        "--again", action="store_true", help="make rows once more that are there already"
    )
    topologies.add_argument(
        "--keep", action="store_true", help="keep checkpoints and files, not reports and logs alone"
    )
    topologies.add_argument(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="for topologies.json and what was converted (default: build/benchmarks)",
    )
    topologies.set_defaults(command=_run_topologies)
    datasets = commands.add_parser(
        "datasets",
        help="what the default commands make of data sets that differ",
        description=DATASETS_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    datasets.add_argument(
        "--only",
        type=_names,
        default=(),
        metavar="NAMES",
        help="only these data sets: colours5,digits (default: all); others keep their rows",
    )
    datasets.add_argument(
        "--side", type=int, default=64, metavar="N", help="of the images (default: 64 px)"
    )
    datasets.add_argument(
        "--data", type=Path, metavar="PLACE", help="a folder or table of your own instead"
    )
    datasets.add_argument(
        "--architecture", default="", metavar="A", help="of the network (default: that of train)"
    )
    datasets.add_argument(
        "--latency", action="store_true", help="measure it too; nothing else should run then"
    )
    datasets.add_argument(
        "--code",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="run the commands of this folder (default: here)",
    )
    datasets.add_argument(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="for datasets.json and what was made (default: build/benchmarks)",
    )
    datasets.set_defaults(command=_run_datasets)
    faults = commands.add_parser(
        "faults",
        help="plant every known fault in real artifacts and report what catches it",
        description=FAULTS_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    faults.add_argument(
        "--checkpoint",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="where to plant them, compressed or not (default: the released one)",
    )
    faults.add_argument(
        "--side",
        type=int,
        default=96,
        metavar="N",
        help="of the images; weights and operations stay the same (default: 96 px)",
    )
    faults.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there")
    faults.set_defaults(command=_run_faults)
    return parser


def _add_options(parser: argparse.ArgumentParser, written: str) -> None:
    """The options that two commands share, without defaults, so that neither command overwrites
    what was given to the other: `python -m benchmarks --rounds 3 peers` runs 3 rounds.
    """
    parser.add_argument(
        "--assets",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="for PyTorch eager and peers (default: the released one)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=argparse.SUPPRESS,
        metavar="N",
        help="thread counts (default: 1 2)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="timed rounds of each row, after one to warm up (default: 10)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=argparse.SUPPRESS,
        metavar="S",
        help="length of a round (default: 0.3)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help=f"for {written} (default: build/benchmarks)",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _check(options: argparse.Namespace) -> None:
    from pipeline.errors import require

    require("matplotlib", what="the picture of the benchmark")
    if min(options.threads) < 1 or options.rounds < 1 or not options.seconds > 0:
        raise BadInput("--threads and --rounds need at least 1, --seconds more than 0")
    if len(set(options.threads)) < len(options.threads):
        raise BadInput("--threads names a count twice")


def _run(options: argparse.Namespace) -> int:
    _check(options)
    from benchmarks.plot import plot_latency
    from benchmarks.results import print_table, results_json, results_of
    from benchmarks.targets import published_targets
    from export.latency.measure import measure
    from pipeline.atomic_files import write_bytes
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    targets = published_targets(options.assets, options.checkpoint or RELEASED)
    console = open_console()
    with console.status("starting") as status:
        measurements = measure(
            targets, options.threads, options.rounds, options.seconds, status.update
        )
    results = results_of(measurements, options.rounds, options.seconds)
    write_json(options.out / "results.json", results_json(results))
    write_bytes(options.out / "latency.png", plot_latency(results))
    print_table(console, results)
    console.print(f"{options.out / 'results.json'}, {options.out / 'latency.png'}")
    return int(any(row.status == "failed" for row in results.rows))


def _run_peers(options: argparse.Namespace) -> int:
    _check(options)
    from benchmarks.peers.document import is_ours, print_peers_table, row_title
    from benchmarks.peers.run import PeersRequest, measure_peers
    from benchmarks.plot import plot_latency
    from benchmarks.results import results_json
    from pipeline.atomic_files import write_bytes
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    request = PeersRequest(
        assets=options.assets,
        checkpoint=options.checkpoint or RELEASED,
        only=options.only,
        threads=options.threads,
        rounds=options.rounds,
        round_s=options.seconds,
        build=options.out / "peers",
    )
    console = open_console()
    with console.status("starting") as status:
        results = measure_peers(request, status.update)
    write_json(options.out / "peers.json", results_json(results))
    write_bytes(options.out / "peers.png", plot_latency(results, row_title, is_ours))
    print_peers_table(console, results)
    console.print(f"{options.out / 'peers.json'}, {options.out / 'peers.png'}")
    return int(any(row.status == "failed" for row in results.rows))


def _run_training(options: argparse.Namespace) -> int:
    from benchmarks.training.run import measure_training, print_training_table
    from pipeline.errors import require
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    require("fastai", "sklearn", what="timing a training")
    if options.threads < 1 or len(set(options.seeds)) < len(options.seeds):
        raise BadInput("--threads needs at least 1, --seeds each number once")
    console = open_console()
    with console.status("starting") as status:
        times = measure_training(
            options.data, options.seeds, options.threads, options.target, status.update
        )
    write_json(options.out / "training.json", plain(times))
    print_training_table(console, times)
    console.print(str(options.out / "training.json"))
    return int(any(row.status == "failed" for row in times.rows))


def _run_topologies(options: argparse.Namespace) -> int:
    from benchmarks.topologies.row import read_topologies
    from benchmarks.topologies.run import measure_topologies
    from benchmarks.topologies.subjects import TopologiesRequest
    from benchmarks.topologies.summary import line, share
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    results = options.out / "topologies.json"
    request = TopologiesRequest(
        architectures=options.only,
        side=options.side,
        images=options.images,
        jobs=options.jobs,
        build=options.out / "topologies",
        checkpoints=tuple(options.checkpoints),
        data=options.data,
        again=options.again,
        keep=options.keep,
    )
    earlier = read_topologies(results).rows if results.exists() else ()
    console = open_console()
    with console.status("starting") as status:
        for found, row in measure_topologies(request, earlier, status.update):
            write_json(results, plain(found))
            console.print(line(row), markup=False, soft_wrap=True)
    every = read_topologies(results)
    console.print(share(every), markup=False, soft_wrap=True)
    console.print(results)
    return int(any(every.counts[word] for word in ("fail", "crash")))


def _run_datasets(options: argparse.Namespace) -> int:
    from benchmarks.datasets.row import read_datasets
    from benchmarks.datasets.run import DataSetsRequest, run_datasets
    from benchmarks.datasets.summary import line
    from pipeline.errors import require
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    require("fastai", "sklearn", what="training")
    results = options.out / "datasets.json"
    request = DataSetsRequest(
        names=options.only,
        side=options.side,
        code=options.code,
        build=options.out / "datasets",
        architecture=options.architecture,
        data=options.data,
        latency=options.latency,
    )
    part = options.only or options.data or options.architecture
    earlier = read_datasets(results) if part and results.exists() else None
    console = open_console()
    stopped = False
    with console.status("starting") as status:
        for found, row in run_datasets(request, earlier, status.update):
            stopped |= bool(row.stopped)
            write_json(results, plain(found))
            console.print(line(row), markup=False, soft_wrap=True)
    console.print(results)
    return int(stopped)


def _run_faults(options: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    import torch

    from benchmarks.faults.bench import open_bench
    from benchmarks.faults.document import print_verdicts, run_table
    from benchmarks.faults.resized import resized
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    if options.side < 32:
        raise BadInput("--side needs at least 32")
    torch.set_num_threads(1)
    console = open_console()
    with TemporaryDirectory() as folder, console.status("starting") as status:
        source = options.checkpoint or RELEASED
        checkpoint = resized(source, options.side, Path(folder) / "checkpoint")
        bench = open_bench(checkpoint, Path(folder) / "bench")
        in_log = not console.is_terminal
        verdicts = run_table(bench, console.print if in_log else status.update)
    if options.json:
        write_json(options.json, verdicts.document(bench.spec))
    print_verdicts(console, verdicts)
    return int(bool(verdicts.missed or verdicts.alarms))
