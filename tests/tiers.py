"""Tiers of tests: long tests are marked with the reason, and only slower commands run them.

`slow` is left out of `make test-fast`, `ci` of `make test` too; `make test-all`, which CI runs,
leaves nothing out. A mark without a reason stops the run; a run ends with what it left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pytest

TIERS: Final = ("ci", "slow")  # the slowest first
KEY: Final = "left_out"  # in the output of an xdist worker


def reason_of(item: pytest.Item) -> tuple[str, str] | None:
    """The tier of a test and the reason; None: it is fast. The mark nearest to the test counts."""
    for tier in TIERS:
        mark = item.get_closest_marker(tier)
        if mark is None:
            continue
        if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0].strip():
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.{tier} without a reason; "
                f'say what takes long: @pytest.mark.{tier}("trains twice")'
            )
        return tier, mark.args[0]
    return None


class LeftOut:
    """Counts what a run leaves out for its tier, in every process that collects.

    Files with a test of the slowest tier run first.
    """

    def __init__(self, marks: str) -> None:
        self.marks = marks  # of `-m`; tests that `-k` deselects are not counted
        self.found: Counter[tuple[str, str]] = Counter()

    @pytest.hookimpl(tryfirst=True)  # before `-m` deselects
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item: reason_of(item) for item in items}
        longest = {item.path for item, tier in found.items() if tier and tier[0] == TIERS[0]}
        items.sort(key=lambda item: item.path not in longest)  # else one worker ends alone

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        reasons = filter(None, map(reason_of, items))
        self.found.update(found for found in reasons if found[0] in self.marks)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            pairs = [[*key, count] for key, count in self.found.items()]
            session.config.workeroutput[KEY] = pairs

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for tier, reason, count in getattr(node, "workeroutput", {}).get(KEY, []):
            self.found[tier, reason] = count  # every worker collects the same

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in sentences(self.found):
            terminalreporter.write_line(line)


def sentences(found: Counter[tuple[str, str]]) -> list[str]:
    """What was left out: one line per tier, and for tests that only CI runs one per reason."""
    lines = []
    for tier in TIERS:
        reasons = {reason: count for (t, reason), count in found.items() if t == tier}
        if reasons:
            runs = "make test-all runs them" if tier == "ci" else "make test runs them"
            lines.append(f"left out: {sum(reasons.values())} tests marked {tier}; {runs}")
        if tier == "ci":
            lines += [f"  {count:4} {reason}" for reason, count in sorted(reasons.items())]
    return lines


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LeftOut(config.option.markexpr), "left-out")
