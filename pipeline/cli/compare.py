"""``python -m pipeline compare``: which topology? The options, and the study they describe."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.cli.owner_options import add_owner_options, owners_words
from pipeline.cli.recipe import add_recipe_options, recipe
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.config import TrainConfig
    from pipeline.study.request import Study

DESCRIPTION: Final = """\
Which topology? Train each of them on the same images in the same way (frozen body, then
everything), and report the figures with their uncertainty. Research use only, unless the owner of a
model says what it is for (--intended-use).
"""
EPILOG: Final = """\
protocols, both by default:
  paper    at random by image, stratified by label. Negatives of a source that also has positives
           are left out, as in the paper's set; --exclude LABEL/SOURCE replaces this rule.
  strict   all images, no group (patient, scene: --group-column) on both sides: the table's own
           split, or groups at random. Without such a column it is not run, and the report says so.
Data are as for train; in a folder, a metadata.csv with file and label is read if there is one.

Every trial (topology, protocol, seed) becomes a whole checkpoint folder as soon as it is finished:
OUT/trials/TOPOLOGY-PROTOCOL-seedN, for `python -m export all --checkpoint`. Ctrl-C loses only the
running ones; the same command keeps what is finished and trains the rest. A finished trial is
trained again, with the reason printed, when images, recipe, versions or code differ.
Without --threads the workers share the cores. With the same --threads, one worker and many give the
same numbers on one machine.

OUT holds comparison.md (read this), comparison.json, comparison.csv and figures/. Figures are at
the most probable class, with 95 % intervals. The paper's rule (least variance, fewest batches to
the target accuracy, fewest parameters) is applied and explained. The report warns when topologies
start from different kinds of weights.

examples:
  python -m pipeline compare --data photos/                           all five, both protocols
  python -m pipeline compare --data photos/ --preset quick --topologies squeezenet1_1,resnet34
  python -m pipeline compare --data photos/metadata.csv --protocol strict --seeds 5
  python -m pipeline compare --data photos/ --workers 4 --threads 2   four trials at a time
  python -m pipeline compare --data photos/ --engine dask --scheduler tcp://head:8786

exit codes: 0 done, 1 a trial failed (the others are kept), 2 the request cannot be served
"""
INTERRUPTED: Final = "finished trials are kept; the same command continues from there"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `compare` to the command line."""
    parser = commands.add_parser(
        "compare",
        help="which topology? the paper's comparison, on your images",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_recipe_options(parser)
    parser.add_argument(
        "--topologies",
        metavar="A,B",
        help="some of squeezenet1_1, resnet34, resnet152, densenet169, vgg19_bn (default: these "
        "five), squeezenet1_1_fire6, cut after its fifth fire module, and any other that "
        "`architectures` lists",
    )
    parser.add_argument(
        "--protocol", choices=("paper", "strict", "both"), default="both", help="(default: both)"
    )
    parser.add_argument(
        "--seeds",
        metavar="A,B or N",
        default="1",
        help="a list (2,3; one seed: 2,) or how many, from --seed on (default: 1)",
    )
    parser.add_argument(
        "--exclude",
        metavar="LABEL/SOURCE",
        action="append",
        default=[],
        help="leave these out of the paper protocol, instead of its rule; none: leave out nothing",
    )
    parser.add_argument(
        "--target-accuracy",
        type=float,
        default=1.0,
        metavar="X",
        help="count epochs and batches until the validation images reach it (default: 1.0)",
    )
    parser.add_argument(
        "--engine",
        choices=("joblib", "dask"),
        default="joblib",
        help="what runs the trials (default: joblib; dask: needs the extra cluster)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="trials at a time (default: 1)"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a running Dask cluster; data and OUT must be at the same paths there",
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the comparison (default: build/comparisons/NAME)"
    )
    parser.add_argument(
        "--again", action="store_true", help="train everything again, finished trials too"
    )
    add_owner_options(parser, examples=False)
    parser.set_defaults(command=run, on_interrupt=INTERRUPTED)


def run(options: argparse.Namespace) -> int:
    """Run the comparison that the options describe; 1 if a trial failed."""
    from pipeline.study.study import run_study

    comparison = run_study(_study(options, recipe(options)), options.data, options.out)
    return 1 if comparison.failed else 0


def seeds_of(text: str, first: int) -> tuple[int, ...]:
    """``2,3`` and ``2,`` are seeds; a number alone is how many, from `first` on.

    Raises:
        BadInput: it is neither.
    """
    if re.fullmatch(r"\s*\d+\s*", text):
        seeds = tuple(range(first, first + int(text)))
    elif re.fullmatch(r"(\s*\d+\s*,)+\s*(\d+\s*)?", text):
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    else:
        raise BadInput(f"--seeds {text!r}: give a list such as 2,3, or how many as one number")
    if not seeds:
        raise BadInput("--seeds 0: at least one is needed")
    return seeds


def _study(options: argparse.Namespace, config: TrainConfig) -> Study:
    from pipeline.data.owners_words import words_of
    from pipeline.models.networks import TOPOLOGIES
    from pipeline.study.engine import Engine
    from pipeline.study.protocols import PROTOCOLS
    from pipeline.study.request import Study

    asked = options.topologies
    topologies = TOPOLOGIES if asked is None else _list(asked)
    return Study(
        topologies=topologies,
        protocols=PROTOCOLS if options.protocol == "both" else (options.protocol,),
        seeds=seeds_of(options.seeds, config.seed),
        config=config,
        target_accuracy=options.target_accuracy,
        engine=Engine(options.engine, options.workers, options.scheduler),
        positive=options.positive,
        exclude=tuple(options.exclude),
        name=options.name,
        model_version=options.model_version,
        again=options.again,
        said=words_of(owners_words(options), None, drawn=options.data is None),
        group_column=options.group_column,
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
