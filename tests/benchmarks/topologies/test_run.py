"""One network after the other: nothing is lost, nothing is made twice, nothing stops the others."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.main import main
from benchmarks.process_tree import Used
from benchmarks.topologies import made_by, run, subjects
from benchmarks.topologies.names import NAMES
from benchmarks.topologies.row import read_topologies
from export.parity.check import ParityResult
from export.parity.evidence import EvidenceAgreement
from export.report.document import VerdictRow, report_of
from export.report.report import write_report
from pipeline.architecture_names import LISTS, canonical
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import missing_modules
from tests.conftest import make_spec, write_network
from tests.export.conftest import tree

pytestmark = pytest.mark.slow("writes checkpoints, and asks libraries for their networks")

ROOT = Path(__file__).parents[3]
NOT_COMPRESSED = ParityResult("not_run", "checkpoint is not compressed to int8; `...` does it")


def passed() -> ParityResult:
    evidence = EvidenceAgreement(2e-6, (1, 2, 3, 3), "hard/red")
    return ParityResult("pass", images=1, max_abs_diff=1e-6, evidence=evidence)


@dataclass
class Commands:
    """Stands in for the commands: what was asked for, and what each leaves.

    Attributes:
        ends: network -> exit code of its export and what it prints; others leave a report.
        compressed: exit code of compressing, and what it prints.
    """

    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)
    compressed: tuple[int, str] = (0, "")

    def __call__(self, command: Any, log: Path, variables: Any) -> Used:
        name = log.parent.name
        self.asked.append((name, command))
        code, said = self.compressed
        if log.stem == "export":
            code, said = self.ends.get(name, (0, ""))
            if name not in self.ends:
                leave_report(Path(command[command.index("--build") + 1]))
        return Used(code, said, 2.0, 1.0, 9.0)

    @property
    def exported(self) -> list[str]:
        return [name for name, command in self.asked if "export" in command]


def leave_report(build: Path) -> None:
    """What `export all` would leave, of two artifacts."""
    build.mkdir()
    (build / "a.onnx").write_bytes(b"12345")
    (build / "b.mlpackage").mkdir()
    rows = [
        VerdictRow("onnx", "fp32", "", passed(), size_bytes=5),
        VerdictRow("onnx", "int8", "", NOT_COMPRESSED),
    ]
    write_report(build / "report.json", report_of("all", rows, "1 image"))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Nothing is drawn, compressed or exported."""
    found = Commands()
    monkeypatch.setattr(run, "run_watched", found)
    monkeypatch.setattr(run, "_drawn_images", lambda request: request.build / "images")
    monkeypatch.setattr(
        run,
        "drawn_checkpoint",
        lambda subject, side, place: write_network(place / "checkpoint", make_spec(side=side)),
    )
    return found


def topologies(out: Path, *options: object) -> int:
    return main(["topologies", *map(str, options), "--out", str(out)])


def test_a_log_is_told_as_it_lies_below_the_rows_folder(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(build: Path) -> None:
        build.mkdir()
        died = replace(NOT_COMPRESSED, reason=f"it died (see {build.resolve() / 'onnx.log'})")
        row = VerdictRow("onnx", "int8", "", died)
        write_report(build / "report.json", report_of("all", [row], "1 image"))

    monkeypatch.setattr(sys.modules[__name__], "leave_report", leave)
    topologies(tmp_path, "--only", "resnet34")
    (artifact,) = rows_of(tmp_path)["resnet34"].artifacts
    assert artifact.reason == "it died (see build/onnx.log)"


def rows_of(out: Path) -> dict[str, Any]:
    return {row.name: row for row in read_topologies(out / "topologies.json").rows}


def test_the_list_has_forty_names_in_their_one_spelling():
    assert len(set(NAMES)) == len(NAMES) >= 40
    for name in NAMES:
        if not missing_modules((name.partition("/")[0],)) or "/" not in name:
            assert canonical(name) == name
    assert {name.partition("/")[0] for name in NAMES if "/" in name} == {*LISTS} - {"torchvision"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "resnet35"], "unknown architecture 'resnet35'"),
        (["--side", "0"], "at least 1"),
        (["--data", "xrays"], "--data needs --checkpoints"),
        (["--checkpoints", "nowhere"], "nowhere"),
        (["--only", "resnet34", "--checkpoints", "nowhere"], "--only chooses among drawn networks"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_written(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert topologies(tmp_path / "out", *arguments) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_network_is_compressed_by_rounding_alone_and_exported_with_the_same_images(
    tmp_path: Path, commands: Commands
) -> None:
    assert topologies(tmp_path, "--only", "resnet34", "--side", 32, "--images", 2) == 0
    (_, compress), (_, export) = commands.asked
    for command in (compress, export):
        assert command[command.index("--data") + 1] == tmp_path / "topologies" / "images"
    assert compress[compress.index("--epochs") + 1] == "0"
    assert export[export.index("--precisions") + 1] == "fp32,fp16,int8,w4"
    row = rows_of(tmp_path)["resnet34"]
    assert row.verdicts == {"pass": 1, "refused": 1}
    assert (row.artifacts[0].size_bytes, row.artifacts[0].evidence_diff) == (5, 2e-6)
    assert (row.seconds, row.cpu_seconds, row.peak_mib, row.side) == (4.0, 2.0, 9, 32)


def test_drawn_networks_are_given_images_of_as_many_labels(tmp_path: Path) -> None:
    request = subjects.TopologiesRequest((), 128, 11, 1, tmp_path)
    images = run._drawn_images(request)
    labels = tuple(sorted(folder.name for folder in (images / "train").iterdir()))
    (drawn,) = subjects.subjects(replace(request, architectures=("squeezenet1_1",)))
    checkpoint = subjects.drawn_checkpoint(drawn, 32, tmp_path)
    assert open_checkpoint(checkpoint).spec.labels == labels


def test_a_network_that_takes_no_such_side_is_given_a_larger_one(tmp_path: Path) -> None:
    (drawn,) = subjects.subjects(subjects.TopologiesRequest(("alexnet",), 32, 11, 1, tmp_path))
    checkpoint = subjects.drawn_checkpoint(drawn, 32, tmp_path)
    assert open_checkpoint(checkpoint).spec.side == 160


def test_reports_and_logs_stay_and_files_only_if_asked_for(
    tmp_path: Path, commands: Commands
) -> None:
    place = tmp_path / "topologies" / "resnet34"
    topologies(tmp_path, "--only", "resnet34")
    assert [path.name for path in place.rglob("*") if path.is_file()] == ["report.json"]
    topologies(tmp_path, "--only", "resnet34", "--again", "--keep")
    assert (place / "build" / "a.onnx").exists()
    assert (place / "checkpoint" / "checkpoint.json").exists()


def test_an_export_without_a_report_is_a_crash_and_the_others_are_run(
    tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.ends["squeezenet1_1"] = (1, "Traceback\nValueError: boom\n")
    assert topologies(tmp_path, "--only", "squeezenet1_1,resnet34") == 1
    assert commands.exported == ["squeezenet1_1", "resnet34"]
    found = rows_of(tmp_path)
    assert set(found["squeezenet1_1"].verdicts) == {"crash"}
    assert {a.reason for a in found["squeezenet1_1"].artifacts} == {"ValueError: boom"}
    assert found["resnet34"].verdicts == {"pass": 1, "refused": 1}
    assert "squeezenet1_1, 128 px: 14 crash" in capsys.readouterr().out


def test_a_network_that_cannot_be_drawn_is_a_row_and_the_others_are_run(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(subject: Any, side: int, place: Path) -> Path:
        if subject.name == "resnet18":
            raise RuntimeError("meta\ntensor")
        return write_network(place / "checkpoint", make_spec())

    monkeypatch.setattr(run, "drawn_checkpoint", draw)
    assert topologies(tmp_path, "--only", "resnet18,resnet34") == 1
    found = rows_of(tmp_path)
    assert found["resnet34"].verdicts == {"pass": 1, "refused": 1}
    assert {a.reason for a in found["resnet18"].artifacts} == {
        "not drawn: RuntimeError: meta tensor"
    }
    assert "RuntimeError" in (tmp_path / "topologies" / "resnet18" / "draw.log").read_text()


def test_what_was_not_compressed_says_why_in_the_words_of_compress(
    tmp_path: Path, commands: Commands
) -> None:
    commands.compressed = (2, "error: body.0 cannot be compressed")
    assert topologies(tmp_path, "--only", "resnet34") == 0
    (_, int8) = rows_of(tmp_path)["resnet34"].artifacts
    assert (int8.verdict, int8.reason) == (
        "refused",
        "not compressed: body.0 cannot be compressed",
    )
    commands.compressed = (1, "Traceback\nKeyError: 'body.0'")
    assert topologies(tmp_path, "--only", "resnet34", "--again") == 1
    (_, int8) = rows_of(tmp_path)["resnet34"].artifacts
    assert (int8.verdict, int8.reason) == ("crash", "not compressed: KeyError: 'body.0'")


# --- resumed ----------------------------------------------------------------------------------


def test_a_stopped_run_loses_one_row_at_most_and_goes_on_there(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(command: Any, log: Path, variables: Any) -> Used:
        if log.parent.name == "resnet34":
            raise KeyboardInterrupt
        return commands(command, log, variables)

    names = "squeezenet1_1,resnet34,vgg19_bn"
    with monkeypatch.context() as patch:
        patch.setattr(run, "run_watched", stop)
        assert topologies(tmp_path, "--only", names) == 130
    assert list(rows_of(tmp_path)) == ["squeezenet1_1"]
    assert topologies(tmp_path, "--only", names) == 0
    assert commands.exported == ["squeezenet1_1", "resnet34", "vgg19_bn"]
    assert list(rows_of(tmp_path)) == names.split(",")


def test_a_row_is_made_again_if_code_tools_or_settings_have_changed_or_on_request(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(*options: object) -> bool:
        before = len(commands.asked)
        topologies(tmp_path, "--only", "resnet34", *options)
        return len(commands.asked) > before

    assert runs()
    assert not runs()
    assert runs("--again")
    assert runs("--side", 96)
    assert not runs("--side", 96)
    monkeypatch.setattr(made_by, "tools", lambda: {"torch": "another"})
    assert runs("--side", 96)
    monkeypatch.setattr(made_by, "_code", lambda: "another")
    assert runs("--side", 96)


def test_rows_that_were_not_asked_for_stay_as_they_are(tmp_path: Path, commands: Commands) -> None:
    topologies(tmp_path, "--only", "resnet34,squeezenet1_1")
    before = rows_of(tmp_path)
    topologies(tmp_path, "--only", "vgg19_bn", "--side", "96")
    after = rows_of(tmp_path)
    assert list(after) == ["squeezenet1_1", "resnet34", "vgg19_bn"]
    assert before.items() <= after.items()


def test_the_results_in_the_docs_can_be_read_and_have_the_networks_of_the_list() -> None:
    found = read_topologies(ROOT / "docs" / "results" / "topologies.json")
    assert {row.name for row in found.rows} <= {*NAMES}


# --- in earnest -------------------------------------------------------------------------------


@pytest.mark.ci("compresses and exports whole networks")
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_a_row_is_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    topologies(tmp_path, "--only", name, "--side", 64, "--images", 2, "--jobs", 1)
    row = rows_of(tmp_path)[name]
    assert {a.verdict for a in row.artifacts if a.precision in ("fp32", "fp16")} == {"pass"}
    assert {*row.verdicts} <= {"pass", "refused"}, row.artifacts


# --- trained ----------------------------------------------------------------------------------


def test_trained_checkpoints_are_exported_as_they_are_with_their_own_images(
    tmp_path: Path, commands: Commands
) -> None:
    folders = [write_network(tmp_path / name, make_spec(), seed=i) for i, name in enumerate("ab")]
    before = [tree(folder) for folder in folders]
    out, data = tmp_path / "out", tmp_path / "xrays"
    assert topologies(out, "--checkpoints", *folders, "--data", data) == 0
    document = json.loads((out / "topologies.json").read_text())
    assert [row["name"] for row in document["rows"]] == ["a", "b"]
    assert {row["side"] for row in document["rows"]} == {make_spec().side}
    assert document["settings"]["weights"] == "trained"
    assert document["settings"]["data"] == "xrays"
    assert document["rows"][0]["artifacts"][0]["evidence_diff"] == 2e-6
    assert commands.exported == ["a", "b"]
    for (_, command), folder in zip(commands.asked, folders, strict=True):
        assert command[command.index("--checkpoint") + 1] == folder
        assert command[command.index("--data") + 1] == data
    assert [tree(folder) for folder in folders] == before


def test_two_checkpoints_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write_network(tmp_path / name / "same", make_spec()) for name in ("a", "b")]
    assert topologies(tmp_path, "--checkpoints", *folders) == 2
    assert "two checkpoints are named same" in capsys.readouterr().err


def test_a_checkpoint_that_would_be_replaced_is_refused_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_network(tmp_path / "topologies" / "mine", make_spec())
    before = tree(folder)
    assert topologies(tmp_path, "--checkpoints", folder) == 2
    assert "which is replaced; give another --out" in capsys.readouterr().err
    assert tree(folder) == before
