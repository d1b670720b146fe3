from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from statistics import stdev

import jsonschema
import pytest

from pipeline.model_spec import INTENDED_USE
from pipeline.study.protocols import Ruling
from pipeline.study.report import SCHEMA_FILE, print_report, to_csv, to_markdown, write_report
from pipeline.study.summary import Outcome, failed
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


def by_threshold(threshold: float, recall: float) -> dict[str, object]:
    interval = {"value": recall, "low": 0.5, "high": 1.0}
    return {
        "threshold": threshold,
        "figures": dict.fromkeys(("accuracy", "recall", "specificity"), interval),
    }


def test_what_the_checkpoints_decide_by_their_own_thresholds_has_a_table_that_says_it_flatters():
    document = summary({("small", "paper", 2): outcome(decision=by_threshold(0.25, 0.97))})
    assert [bool(row["decision"]) for row in document["rows"]] == [False, True]  # the last stage
    text = to_markdown(document, {})
    assert "chosen by Youden's index on these very images, which flatters" in text
    cells = "0.970 (0.500 to 1.000) | 0.970 (0.500 to 1.000) | 0.970 (0.500 to 1.000)"
    assert f"| small | 0.250 | {cells} |" in text
    document["request"]["config"]["least_recall"] = 0.96
    assert "chosen for a recall of 0.96 at least" in to_markdown(document, {})


def test_over_seeds_every_threshold_is_told():
    document = summary(
        {
            ("small", "strict", seed): outcome(decision=by_threshold(threshold, 0.9))
            for seed, threshold in ((2, 0.25), (3, 0.5))
        }
    )
    assert document["rows"][-1]["decision"]["thresholds"] == [0.25, 0.5]
    assert "| small | 0.250, 0.500 | 0.900 ± 0.000" in to_markdown(document, {})


def test_without_a_threshold_in_every_trial_there_is_no_such_table():
    document = summary(
        {
            ("small", "strict", 2): outcome(decision=by_threshold(0.25, 0.9)),
            ("small", "strict", 3): outcome(),
        }
    )
    assert document["rows"][-1]["decision"] is None
    assert "which flatters" not in to_markdown(document, {})


def test_a_target_that_is_not_reached_is_not_a_number():
    document = summary({("small", "paper", 2): outcome((0.7, 0.9, 0.9))})
    text = to_markdown(document, {})
    row = dict(zip(header(text), table_row(text, "small"), strict=True))
    assert row["epochs to 1"] == row["batches to 1"] == "not reached"
    rows = list(csv.DictReader(io.StringIO(to_csv(document))))
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
    def with_accuracy(value: float) -> Outcome:
        named = {"accuracy": (value, 0.1, 1.0), "recall": (0.5, 0.1, 1.0), "auroc": (0.5, 0.1, 1.0)}
        return outcome(figures=named)

    document = summary(
        {("small", "strict", seed): with_accuracy(value) for seed, value in ((2, 0.7), (3, 0.9))}
    )
    figure = document["rows"][-1]["figures"]["accuracy"]
    assert figure == pytest.approx(
        {"value": 0.8, "low": 0.7, "high": 0.9, "spread": "seeds", "sd": stdev([0.7, 0.9])}
    )
    assert "0.800 ± 0.141 (seeds 0.700 to 0.900)" in to_markdown(document, {})
    assert len(list(csv.DictReader(io.StringIO(to_csv(document))))) == 4  # a row a trial and stage


def test_unlike_starts_are_told_in_the_table_near_the_choice_and_before_everything():
    document = summary(
        {
            ("small", "paper", 2): outcome(imagenet=True),
            ("large", "paper", 2): outcome(imagenet=False, parameters=9_000),
        }
    )
    assert document["cautions"][0].startswith(
        "Unlike starts: small from ImageNet weights, large from random weights."
    )
    text = to_markdown(document, {})
    assert [table_row(text, name)[4] for name in ("small", "large")] == ["ImageNet", "random"]
    assert text.index("Unlike starts") < text.index("| topology |")
    choice = text.split("### The paper's rule")[1]
    assert "The starts are unlike" in choice
    assert choice.index("The starts are unlike") < choice.index("The rule chooses small")


def test_like_starts_need_no_caution():
    document = summary({("small", "paper", 2): outcome(), ("large", "paper", 2): outcome()})
    assert "nlike" not in to_markdown(document, {})


def test_an_interval_without_width_is_explained():
    perfect = dict.fromkeys(("accuracy", "recall", "auroc"), (1.0, 1.0, 1.0))
    document = summary({("small", "paper", 2): outcome(figures=perfect)})
    assert any("rule of three" in caution for caution in document["cautions"])
    wide = summary({("small", "paper", 2): outcome()})
    assert not any("rule of three" in caution for caution in wide["cautions"])


def test_the_choice_is_made_among_topologies_that_have_all_their_trials():
    document = summary(
        {
            ("best", "paper", 2): outcome(parameters=1),
            ("best", "paper", 3): Outcome(None, "it broke"),
            ("other", "paper", 2): outcome(parameters=2),
            ("other", "paper", 3): outcome(parameters=2),
        }
    )
    assert document["selection"]["paper"]["chosen"] == ["other"]
    assert failed(document) == ["best-paper-seed3"]
    text = to_markdown(document, {})
    assert "best is not ranked: 1 of 2 trials failed." in text
    assert "- best-paper-seed3: it broke" in text


def test_where_everything_failed_there_is_no_choice():
    document = summary({("best", "paper", 2): Outcome(None, "it broke")})
    assert document["selection"] == {"paper": None}
    assert document["rows"] == []
    assert "it broke" in to_markdown(document, {})


def test_a_protocol_that_is_not_possible_is_listed_with_its_reason(capsys):
    document = summary(
        {("small", "paper", 2): outcome()}, strict=Ruling(None, reason="no image names its patient")
    )
    assert "Not run: no image names its patient." in to_markdown(document, {})
    rows = list(csv.DictReader(io.StringIO(to_csv(document))))
    assert ("strict", "not run", "no image names its patient") in {
        (row["protocol"], row["status"], row["reason"]) for row in rows
    }
    print_report(document, Path("out"))
    assert "strict: not run: no image names its patient" in capsys.readouterr().out


def test_research_use_is_said_everywhere(capsys):
    document = summary({("small", "paper", 2): outcome()})
    assert document["intended_use"] == INTENDED_USE
    assert INTENDED_USE in to_markdown(document, {})
    print_report(document, Path("out"))
    assert INTENDED_USE in capsys.readouterr().out


def test_the_auroc_within_a_source_has_its_column():
    figures = {"accuracy": (0.8, 0.7, 0.9), "recall": (0.8, 0.7, 0.9), "auroc": (0.9, 0.8, 1.0)}
    document = summary(
        {
            ("small", "strict", 2): outcome(
                figures={**figures, "auroc_within_north": (0.5, 0.3, 0.7)}
            )
        }
    )
    text = to_markdown(document, {})
    assert "| AUROC within north |" in text
    assert "| 0.500 (0.300 to 0.700) |" in text


def test_the_document_follows_its_schema_and_is_written_with_the_others(tmp_path, monkeypatch):
    document = summary(
        {
            ("small", "paper", 2): outcome(),
            ("large", "paper", 2): Outcome(None, "it broke"),
        },
        strict=Ruling(None, reason="no patients"),
    )
    monkeypatch.setattr("pipeline.study.figures.write_figures", lambda *_: {"figures/a.png": "A"})
    trials = [trial("small", "paper", 2)]
    write_report(tmp_path, document, trials, {"small-paper-seed2": outcome()})
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
