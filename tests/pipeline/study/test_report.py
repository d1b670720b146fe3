from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import jsonschema
import pytest

from pipeline.data.owners_words import Said
from pipeline.model_spec import INTENDED_USE
from pipeline.study.documents import Decision, Estimate, comparison_document
from pipeline.study.protocols import Ruling
from pipeline.study.report import SCHEMA_FILE, print_report, to_csv, to_markdown, write_report
from pipeline.study.summary import TrialResult
from tests.pipeline.study_document import outcome, summary, trial


def table_row(text: str, topology: str) -> list[str]:
    """The cells of the first table row of a topology."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {topology} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def header(text: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith("| topology | protocol"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_every_column_and_the_numbers_of_the_trial():
    text = to_markdown(summary({("small", "paper", 2): outcome((0.7, 1.0, 0.9))}), {})
    row = dict(zip(header(text), table_row(text, "small"), strict=True))
    assert row == {
        "topology": "small",
        "protocol": "paper",
        "parameters": "1,000",
        "bytes": "4,000",
        "initial weights": "ImageNet",
        "epochs to 1": "2",
        "batches to 1": "4",
        "variance of the validation loss": "0.01",  # of 0.6 and 0.4
        "accuracy": "0.800 (0.700 to 0.900)",
        "recall": "0.800 (0.700 to 0.900)",
        "specificity": "0.800 (0.700 to 0.900)",
        "AUROC": "0.800 (0.700 to 0.900)",
        "training s": "3",
    }


def by_threshold(threshold: float, recall: float) -> Decision:
    interval = Estimate(recall, 0.5, 1.0)
    return Decision(threshold, dict.fromkeys(("accuracy", "recall", "specificity"), interval))


def test_decisions_by_the_checkpoints_own_thresholds_have_a_table_that_says_it_is_optimistic():
    found = summary({("small", "paper", 2): outcome(decision=by_threshold(0.25, 0.97))})
    assert [bool(row.decision) for row in found.rows] == [False, True]  # the last stage
    text = to_markdown(found, {})
    assert "chosen by Youden's index on these images, and so optimistic" in text
    cells = "0.970 (0.500 to 1.000) | 0.970 (0.500 to 1.000) | 0.970 (0.500 to 1.000)"
    assert f"| small | 0.250 | {cells} |" in text
    config = replace(found.request.config, least_recall=0.96)
    object.__setattr__(found.request, "config", config)
    assert "chosen for a recall of 0.96 at least" in to_markdown(found, {})


def test_over_seeds_every_threshold_is_listed():
    found = summary(
        {
            ("small", "strict", seed): outcome(decision=by_threshold(threshold, 0.9))
            for seed, threshold in ((2, 0.25), (3, 0.5))
        }
    )
    assert found.rows[-1].decision.thresholds == (0.25, 0.5)
    assert "| small | 0.250, 0.500 | 0.900 ± 0.000" in to_markdown(found, {})


def test_without_a_threshold_in_every_trial_there_is_no_such_table():
    found = summary(
        {
            ("small", "strict", 2): outcome(decision=by_threshold(0.25, 0.9)),
            ("small", "strict", 3): outcome(),
        }
    )
    assert found.rows[-1].decision is None
    assert "and so optimistic" not in to_markdown(found, {})


def test_a_target_that_is_not_reached_is_not_a_number():
    found = summary({("small", "paper", 2): outcome((0.7, 0.9, 0.9))})
    text = to_markdown(found, {})
    row = dict(zip(header(text), table_row(text, "small"), strict=True))
    assert row["epochs to 1"] == row["batches to 1"] == "not reached"
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert {row["target_epochs"] for row in rows} == {"not reached"}


def test_both_stages_have_their_figures():
    text = to_markdown(summary({("small", "paper", 2): outcome()}), {})
    assert "After the frozen stage:" in text
    assert "After the fine-tuned stage:" in text
    rows = list(csv.DictReader(io.StringIO(to_csv(summary({("small", "paper", 2): outcome()})))))
    assert [row["stage"] for row in rows] == ["frozen", "fine-tuned"]
    assert {(row["auroc"], row["auroc_low"], row["auroc_high"]) for row in rows} == {
        ("0.8", "0.7", "0.9")
    }


def test_over_seeds_the_mean_is_given_with_the_spread():
    def with_accuracy(value: float) -> TrialResult:
        named = {"accuracy": (value, 0.1, 1.0), "recall": (0.5, 0.1, 1.0), "auroc": (0.5, 0.1, 1.0)}
        return outcome(figures=named)

    found = summary(
        {("small", "strict", seed): with_accuracy(value) for seed, value in ((2, 0.7), (3, 0.9))}
    )
    figure = found.rows[-1].figures["accuracy"]
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.8, 0.7, 0.9))
    assert (figure.spread, figure.sd) == ("seeds", pytest.approx(stdev([0.7, 0.9])))
    assert "0.800 ± 0.141 (seeds 0.700 to 0.900)" in to_markdown(found, {})
    assert len(list(csv.DictReader(io.StringIO(to_csv(found))))) == 4  # a row a trial and stage


def test_different_initial_weights_are_reported_in_the_table_near_the_choice_and_first():
    found = summary(
        {
            ("small", "paper", 2): outcome(imagenet=True),
            ("large", "paper", 2): outcome(imagenet=False, parameters=9_000),
        }
    )
    assert found.cautions[0].startswith(
        "Unlike starts: small from ImageNet weights, large from random weights."
    )
    text = to_markdown(found, {})
    assert [table_row(text, name)[4] for name in ("small", "large")] == ["ImageNet", "random"]
    assert text.index("Unlike starts") < text.index("| topology |")
    choice = text.split("### The paper's rule")[1]
    assert "The initial weights differ" in choice
    assert choice.index("The initial weights differ") < choice.index("The rule chooses small")


def test_like_starts_need_no_caution():
    found = summary({("small", "paper", 2): outcome(), ("large", "paper", 2): outcome()})
    assert "nlike" not in to_markdown(found, {})


def test_an_interval_without_width_is_explained():
    perfect = dict.fromkeys(("accuracy", "recall", "auroc"), (1.0, 1.0, 1.0))
    found = summary({("small", "paper", 2): outcome(figures=perfect)})
    assert any("rule of three" in caution for caution in found.cautions)
    wide = summary({("small", "paper", 2): outcome()})
    assert not any("rule of three" in caution for caution in wide.cautions)


def test_the_choice_is_made_among_topologies_that_have_all_their_trials():
    found = summary(
        {
            ("best", "paper", 2): outcome(parameters=1),
            ("best", "paper", 3): TrialResult(None, "it broke"),
            ("other", "paper", 2): outcome(parameters=2),
            ("other", "paper", 3): outcome(parameters=2),
        }
    )
    assert found.selection["paper"].selection.chosen == ("other",)
    assert [entry.name for entry in found.failed] == ["best-paper-seed3"]
    text = to_markdown(found, {})
    assert "best is not ranked: 1 of 2 trials failed." in text
    assert "- best-paper-seed3: it broke" in text


def test_where_everything_failed_there_is_no_choice():
    found = summary({("best", "paper", 2): TrialResult(None, "it broke")})
    assert found.selection == {"paper": None}
    assert found.rows == ()
    assert "it broke" in to_markdown(found, {})


def test_a_protocol_that_is_not_possible_is_listed_with_its_reason(capsys):
    found = summary(
        {("small", "paper", 2): outcome()}, strict=Ruling(None, reason="no image names its group")
    )
    assert "Not run: no image names its group." in to_markdown(found, {})
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert ("strict", "not run", "no image names its group") in {
        (row["protocol"], row["status"], row["reason"]) for row in rows
    }
    print_report(found, Path("out"))
    assert "strict: not run: no image names its group" in capsys.readouterr().out


def test_research_use_is_said_everywhere(capsys):
    found = summary({("small", "paper", 2): outcome()})
    assert comparison_document(found)["intended_use"] == INTENDED_USE
    assert INTENDED_USE in to_markdown(found, {})
    print_report(found, Path("out"))
    assert INTENDED_USE in capsys.readouterr().out


def test_the_owner_says_what_it_may_be_used_for(capsys):
    found = summary({("small", "paper", 2): outcome()})
    said = replace(found.request, topologies=("squeezenet1_1",), said=Said("For [b]play[/b]."))
    found = replace(found, request=said)
    assert comparison_document(found)["intended_use"] == "For [b]play[/b]."
    assert INTENDED_USE not in to_markdown(found, {})
    print_report(found, Path("out"))
    assert "For [b]play[/b]." in capsys.readouterr().out


def test_the_auroc_within_a_source_has_its_column():
    figures = {"accuracy": (0.8, 0.7, 0.9), "recall": (0.8, 0.7, 0.9), "auroc": (0.9, 0.8, 1.0)}
    found = summary(
        {
            ("small", "strict", 2): outcome(
                figures={**figures, "auroc_within_north": (0.5, 0.3, 0.7)}
            )
        }
    )
    text = to_markdown(found, {})
    assert "| AUROC within north |" in text
    assert "| 0.500 (0.300 to 0.700) |" in text


def test_the_document_follows_its_schema_and_is_written_with_the_others(tmp_path, monkeypatch):
    found = summary(
        {
            ("small", "paper", 2): outcome(),
            ("large", "paper", 2): TrialResult(None, "it broke"),
        },
        strict=Ruling(None, reason="no patients"),
    )
    monkeypatch.setattr("pipeline.study.figures.write_figures", lambda *_: {"figures/a.png": "A"})
    trials = [trial("small", "paper", 2)]
    write_report(tmp_path, found, trials)
    document = comparison_document(found)
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written == json.loads(json.dumps(document))
    assert "![A](figures/a.png)" in (tmp_path / "comparison.md").read_text()
    schema = json.loads(SCHEMA_FILE.read_text())
    for break_it in (
        lambda d: d.pop("cautions"),
        lambda d: d["trials"][0].pop("history"),
        lambda d: d["trials"][1].update(reason=""),
        lambda d: d["protocols"][0].update(status="maybe"),
        lambda d: d["rows"][0]["figures"]["auroc"].pop("low"),
    ):
        broken = json.loads(json.dumps(document))
        break_it(broken)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)
