from __future__ import annotations

from pipeline.study.topology_ranking import CRITERIA, Candidate, explain, select


def candidate(
    topology: str,
    variance: float | None = 0.1,
    batches: int | None = 100,
    parameters: int = 1_000,
) -> Candidate:
    return Candidate(topology, (variance,), (batches,), parameters)


def ranks(selection, name: str) -> dict[str, int]:
    (criterion,) = [c for c in selection.criteria if c.name == name]
    return dict(criterion.ranks)


def test_the_lowest_sum_of_ranks_is_chosen():
    selection = select(
        [
            candidate("vgg", variance=0.30, batches=60, parameters=20_000),
            candidate("squeeze", variance=0.10, batches=90, parameters=700),
            candidate("dense", variance=0.20, batches=70, parameters=12_000),
        ]
    )
    assert ranks(selection, "variance") == {"vgg": 3, "squeeze": 1, "dense": 2}
    assert ranks(selection, "batches") == {"vgg": 1, "squeeze": 3, "dense": 2}
    assert ranks(selection, "parameters") == {"vgg": 3, "squeeze": 1, "dense": 2}
    assert selection.sums == {"vgg": 7, "squeeze": 5, "dense": 6}
    assert selection.chosen == ("squeeze",)


def test_the_choice_without_each_criterion_is_reported():
    selection = select(
        [
            candidate("small", variance=0.3, batches=None, parameters=10),
            candidate("calm", variance=0.1, batches=50, parameters=30),
            candidate("fast", variance=0.2, batches=40, parameters=40),
        ]
    )
    assert selection.sums == {"small": 7, "calm": 5, "fast": 6}
    assert selection.chosen == ("calm",)
    assert selection.without == {
        "variance": ("small",),  # 4, 4 and 4: parameters part them
        "batches": ("calm",),
        "parameters": ("calm", "fast"),  # 3 and 3, and nothing left to part them
    }
    text = " ".join(explain(selection))
    assert "The rule chooses calm." in text
    assert "Without variance of the validation loss: it would be small." in text
    assert "Without batches to the target accuracy: still calm." in text
    assert "Without parameters: it could not part calm and fast." in text


def test_equal_values_share_the_better_rank():
    selection = select([candidate("a"), candidate("b"), candidate("c", variance=0.2)])
    assert ranks(selection, "variance") == {"a": 1, "b": 1, "c": 3}
    assert selection.chosen == ("a", "b")
    assert "The rule cannot part a and b." in explain(selection)


def test_equal_sums_are_parted_by_parameters():
    selection = select(
        [
            candidate("large", variance=0.1, parameters=2_000),
            candidate("small", variance=0.2, parameters=1_000),
        ]
    )
    assert selection.sums == {"large": 4, "small": 4}
    assert selection.chosen == ("small",)
    assert "The rule chooses small (large and small have the same sum)." in explain(selection)


def test_never_reached_comes_after_every_number():
    selection = select([candidate("never", batches=None), candidate("late", batches=10**9)])
    assert ranks(selection, "batches") == {"never": 2, "late": 1}
    assert "1. late (1,000,000,000), 2. never (not reached)" in explain(selection)[1]


def test_when_none_reaches_the_target_the_criterion_distinguishes_none():
    selection = select([candidate("a", batches=None), candidate("b", batches=None, variance=0.05)])
    assert ranks(selection, "batches") == {"a": 1, "b": 1}
    assert selection.chosen == ("b",)
    assert "no topology reached it" in explain(selection)[1]


def test_one_epoch_a_stage_has_no_variance_and_the_criterion_is_not_used():
    selection = select([candidate("a", variance=None), candidate("b", batches=50, variance=None)])
    assert ranks(selection, "variance") == {}
    assert selection.sums == {"a": 3, "b": 2}
    assert "not used; a stage needs two epochs" in explain(selection)[0]


def test_over_seeds_fewer_failures_to_reach_it_come_first_and_then_the_mean():
    selection = select(
        [
            Candidate("often", (0.1, 0.3), (200, 300), 1),
            Candidate("sometimes", (0.2, 0.2), (10, None), 1),
            Candidate("sooner", (0.0, 0.1), (200, 290), 1),
        ]
    )
    assert ranks(selection, "batches") == {"often": 2, "sometimes": 3, "sooner": 1}
    assert ranks(selection, "variance") == {"often": 2, "sometimes": 2, "sooner": 1}
    assert "sometimes (10, not reached by 1 of 2 seeds)" in explain(selection)[1]


def test_one_topology_alone_is_no_choice():
    assert explain(select([candidate("a")])) == ["Only a was compared: there is nothing to choose."]


def test_every_criterion_is_explained_with_its_numbers():
    lines = explain(select([candidate("a", parameters=722_000), candidate("b")]))
    for line, name in zip(lines, CRITERIA.values(), strict=False):
        assert line.lower().startswith(name)
    assert "2. a (722,000)" in lines[2]
