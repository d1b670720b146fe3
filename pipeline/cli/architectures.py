"""``python -m pipeline architectures``: the names that `--architecture` takes."""

from __future__ import annotations

import argparse


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `architectures` to the command line."""
    parser = commands.add_parser(
        "architectures",
        help="the networks that can be trained here, by name",
        description="Our own networks, torchvision's, fastai's xresnets and, if installed, timm's.",
    )
    parser.add_argument(
        "--like",
        metavar="PATTERN",
        default="*",
        help="a part of the name, or a pattern such as 'resnet*d'",
    )
    parser.set_defaults(command=run, on_interrupt="nothing was changed")


def run(options: argparse.Namespace) -> int:
    """Print them, one a line; 1 if there are none."""
    from pipeline.architecture_names import listed
    from pipeline.errors import install_command, missing_modules

    names = listed(options.like)
    for name in names:
        print(name)
    for library in missing_modules(("timm", "fastai")):
        print(f"{library} is not installed: {install_command([library])} adds its networks")
    return 0 if names else 1
