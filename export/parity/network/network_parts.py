"""Is the network in a file the checkpoint's? The parts ``weights`` and ``structure`` of a check.

Where the format has a lifter the file is one program and PyTorch's network another: every operation
and every number of the two is compared. Elsewhere the weighted layers are compared, in their order,
and an entry of the network's state that none of them holds is told as not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from export.deploy.expected_program import with_outputs
from export.errors import CannotRunHere, Unreadable
from export.formats.base import Rewriter
from export.parity.network.accounting import PREFIX, not_in_layers
from export.parity.weights import weight_violations
from pipeline.errors import BadInput
from pipeline.program.comparison import Difference, differences

if TYPE_CHECKING:
    from export.parity.reading import Reading
    from export.parity.reference import Reference

PASS: Final = "pass"
NOT_RUN: Final = "not run: "
NOT_CHECKED: Final = "not checked: "
NORMALISATION: Final = ("mean:", "std:")  # tensors of the deploy graph itself
NAMED: Final = 5  # entries that are not checked, by name


def network_parts(
    reading: Reading, reference: Reference, half: bool, needs_evidence: bool = True
) -> dict[str, str]:
    """Part -> ``pass``, what is wrong, or why it was not compared.

    Args:
        reading: of the file.
        reference: what it should hold.
        half: whether the file's numbers are those of fp16.
        needs_evidence: whether the file must have every output of the network.
    """
    try:
        found = program_differences(reading, reference, half, needs_evidence)
    except (CannotRunHere, BadInput) as error:
        structure = _left_over(reading) or f"{NOT_RUN}{error}"
        return {"weights": _layers(reading, reference), "structure": structure}
    except Exception as error:  # a reader of a damaged file may raise anything
        structure = one_line(error, "reading the structure")
        return {"weights": _layers(reading, reference), "structure": structure}
    if found is None:
        return {"weights": _layers(reading, reference)}
    return {
        "weights": part([said(each) for each in found if each.of_numbers]),
        "structure": part([said(each) for each in found if not each.of_numbers]),
    }


def program_differences(
    reading: Reading, reference: Reference, half: bool, needs_evidence: bool = True
) -> list[Difference] | None:
    """How the file differs from the network, program and all else; None if it has no lifter.

    Raises:
        CannotRunHere: the file has an operation that is not known here.
        BadInput: the network cannot be captured.
        Unreadable: the file contradicts itself.
    """
    if not reading.has_program:
        return None
    found, expected = reading.program, reference.program
    if not needs_evidence:
        expected = with_outputs(expected, len(found.outputs()))
    if isinstance(reading.verbs, Rewriter):
        expected = reading.verbs.as_written(expected, half=half)
    left = [Difference(f"the file has {each}") for each in reading.left_over]
    return differences(expected, found, half=half) + left


def _left_over(reading: Reading) -> str:
    """What is wrong with a file whose program cannot be compared; empty if nothing is."""
    try:
        return "; ".join(f"the file has {each}" for each in reading.left_over)
    except CannotRunHere:
        return ""
    except Exception as error:  # as above
        return one_line(error, "reading the whole file")


def said(difference: Difference) -> str:
    """Its sentence, with names as the network has them, in the words of `weight_violations`."""
    sentence = difference.sentence.removeprefix(PREFIX)
    for before in (", ", " after "):
        sentence = sentence.replace(f"{before}{PREFIX}", before)
    sentence = sentence.replace("values are not those expected", "values are not the checkpoint's")
    return f"normalisation.{sentence}" if sentence.startswith(NORMALISATION) else sentence


def _layers(reading: Reading, reference: Reference) -> str:
    try:
        violations = weight_violations(reading.layers, reference.layers)
    except CannotRunHere as error:
        return f"{NOT_RUN}{error}"
    except Exception as error:  # as above
        return one_line(error, "reading weights")
    if violations:
        return part(violations)
    left = not_in_layers(reference)
    more = f" (and {len(left) - NAMED} more)" if len(left) > NAMED else ""
    return f"{NOT_CHECKED}{', '.join(left[:NAMED])}{more}" if left else PASS


def part(violations: Sequence[str]) -> str:
    """`pass`, or what is wrong; for many weights the first few."""
    more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
    return "; ".join(violations[:3]) + more if violations else PASS


def one_line(error: Exception, doing: str) -> str:
    """An error in one line; with its type if foreign code raised it."""
    if isinstance(error, Unreadable):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__} while {doing}: {lines[0]}"
