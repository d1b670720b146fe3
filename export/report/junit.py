"""A report as JUnit XML, which CI systems show."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from export.report.report import VERDICTS

if TYPE_CHECKING:
    from export.report.report import Report


def to_junit(report: Report) -> str:
    """JUnit XML of a report: a test case per artifact; not run and rejected are skipped."""
    count = {s: sum(a.verdict == s for a in report.artifacts) for s in VERDICTS}
    suite = ElementTree.Element(
        "testsuite",
        name=f"export {report.command}",
        tests=str(len(report.artifacts)),
        failures=str(count["fail"]),
        skipped=str(count["not_run"] + count["rejected"]),
    )
    for artifact in report.artifacts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=artifact.place, name=artifact.name
        )
        parity = artifact.parity
        if parity.status == "fail":
            ElementTree.SubElement(case, "failure", message=_printable(parity.reason))
        elif artifact.verdict == "rejected":
            ElementTree.SubElement(case, "skipped", message=f"rejected: {artifact.reason}")
        elif parity.status == "not_run":
            ElementTree.SubElement(case, "skipped", message=_printable(parity.reason))
        else:
            output = ElementTree.SubElement(case, "system-out")
            output.text = (
                f"max |dp| {parity.max_abs_diff:.1e} on {parity.images} images, "
                f"{parity.label_flips} label flips"
            )
            if artifact.verdict == "accepted":
                output.text += f", accepted though {artifact.reason}"
            if parity.evidence is not None:
                output.text += f", evidence {parity.evidence.max_rel_diff:.1e}"
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Replace control characters, which XML forbids and messages of runtimes contain."""
    return "".join(c if c.isprintable() else " " for c in text)
