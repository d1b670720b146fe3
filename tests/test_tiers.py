"""Marks of slow tests carry a reason, and a run reports what it left out."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.tiers import reason_of, sentences


class Marked(pytest.Item):
    def runtest(self) -> None: ...


def item(request: pytest.FixtureRequest, *marks: pytest.MarkDecorator) -> pytest.Item:
    made = Marked.from_parent(request.session, name="made")
    for mark in marks:
        made.add_marker(mark)
    return made


def test_a_mark_says_its_tier_and_why(request: pytest.FixtureRequest) -> None:
    assert reason_of(item(request)) is None
    assert reason_of(item(request, pytest.mark.slow("trains"))) == ("slow", "trains")
    both = item(request, pytest.mark.slow("trains"), pytest.mark.ci("trains twice"))
    assert reason_of(both) == ("ci", "trains twice")


@pytest.mark.parametrize(
    "mark", [pytest.mark.slow, pytest.mark.ci(), pytest.mark.ci(" "), pytest.mark.slow("a", "b")]
)
def test_a_mark_without_one_reason_stops_the_run(
    mark: pytest.MarkDecorator, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(pytest.UsageError, match="without a reason"):
        reason_of(item(request, mark))


def test_what_was_left_out_is_counted_and_for_ci_explained() -> None:
    found = Counter({("slow", "trains"): 3, ("ci", "trains twice"): 2, ("ci", "a browser"): 1})
    assert sentences(found) == [
        "left out: 3 tests marked ci; make test-all runs them",
        "     1 a browser",
        "     2 trains twice",
        "left out: 3 tests marked slow; make test runs them",
    ]
    assert sentences(Counter()) == []
