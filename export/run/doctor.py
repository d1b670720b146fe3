"""``python -m export doctor``: what can be converted and run here, and how to fix the rest.

In: the installed packages. Out: one `Finding` per format, from version ranges alone or, with
`try_it`, from converting and running a small untrained network.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from pipeline.errors import install_command, missing_modules

PROJECT: Final = "mobile-model-export"
WHY: Final = {
    "torch": "from 2.13 on its wheels lack XNNPACK, which TorchScript-lite files need",
}
EXACT: Final = "python -m pip install -c constraints.txt -e '.[all]'"


@dataclass(frozen=True)
class Finding:
    """The state of one format: `convert` and `run` are ``yes`` or ``no: why``; `fix` a command."""

    format: str
    convert: str
    run: str
    fix: str = ""


def examine(try_it: bool) -> list[Finding]:
    """Examine every format."""
    return [_examine(name, try_it) for name in FORMATS]


def out_of_range() -> list[str]:
    """Sentences on installed packages whose version is outside what this project declares."""
    from packaging.requirements import Requirement

    try:
        declared = requires(PROJECT) or []
    except PackageNotFoundError:
        return [f"{PROJECT} is not installed as a package, so versions are not checked; {EXACT}"]
    findings = []
    for line in declared:
        requirement = Requirement(line)
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            continue  # the findings of the formats report what is missing
        if not requirement.specifier.contains(found, prereleases=True):
            why = f" ({WHY[requirement.name]})" if requirement.name in WHY else ""
            findings.append(
                f"{requirement.name} {found} is outside {requirement.specifier}{why}; {EXACT}"
            )
    return findings


def _examine(name: str, try_it: bool) -> Finding:
    facts = FORMATS[name]
    missing = missing_modules(facts.requires)
    if missing:
        reason = f"no: {', '.join(missing)} not installed"
        return Finding(name, reason, reason, install_command(missing, facts.extras_of(missing)))
    verbs = verbs_of(name)
    convert, run = (
        f"no: {why}" if why else "yes" for why in (verbs.why_not_convert(), verbs.why_not_run())
    )
    if convert != "yes":
        return Finding(name, convert, run, EXACT)
    return _try(name) if try_it else Finding(name, convert, run)


def _try(name: str) -> Finding:
    """Convert an untrained network in its own process, as an export does, and run it."""
    import numpy as np

    from export.run.convert import convert_all
    from pipeline.checkpoint import write_checkpoint
    from pipeline.model_spec import ModelSpec
    from pipeline.models.networks import build_network
    from pipeline.resize.rule import Resize

    labels = ("a", "b")
    spec = ModelSpec(
        name="doctor",
        version="0",
        architecture="squeezenet1_1",
        labels=labels,
        positive="a",
        threshold=0.5,
        resize=Resize(64, 64),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        weights = build_network(spec.architecture, 2).state_dict()
        checkpoint = write_checkpoint(place, spec, weights)
        precision = next(iter(FORMATS[name].precisions))
        wanted = {name: (precision,)}
        conversion = next(convert_all(checkpoint, wanted, place / "build", jobs=1))
        if conversion.error:
            return Finding(name, f"no: {re.sub(r' .see .*', '', conversion.error)}", "no", EXACT)
        try:
            session = verbs_of(name).load(conversion.path, threads=1)
            verbs_of(name).run(session, np.zeros((1, *spec.resize.size, 3), np.uint8))
        except CannotRunHere as reason:
            return Finding(name, "yes, tried", f"no: {reason}")
    return Finding(name, "yes, tried", "yes, tried")
