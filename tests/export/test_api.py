"""`export.api` does what the commands do, quietly, and returns objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from export import api
from export.formats.register import all_precisions
from export.run.export_request import ExportRequest
from pipeline.errors import BadInput
from tests.export.conftest import Artifacts, Exported, Model, StandIn
from tests.export.made_assets import flip, write_assets
from tests.five_colours import paint


def test_predict_returns_the_state_of_each_file_and_its_answers(
    artifacts: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path)
    files = [artifacts["onnx", "fp32"], artifacts["ort", "fp32"]]
    capsys.readouterr()  # what the converters said
    found = api.predict(files, str(tmp_path))
    assert [(state.path, state.status) for state in found.artifacts] == [(f, "run") for f in files]
    assert [image.file for image in found.images] == images
    for image in found.images:
        assert list(image.answers) == files
        assert image.max_abs_diff is not None
        assert image.max_abs_diff < 1e-4
        assert image.same_label
    assert not found.failed
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "")


def test_verify_returns_every_difference(tmp_path: Path) -> None:
    folder = write_assets(tmp_path)["web"]
    assert api.verify(folder).differences == ()
    flip(next(folder.glob("*.onnx")), "middle")
    assert [difference.kind for difference in api.verify(str(folder)).differences] == ["changed"]
    with pytest.raises(BadInput, match="no folder at"):
        api.verify(tmp_path / "nowhere")


def test_a_number_below_one_is_refused() -> None:
    for call in (api.export_all, api.check):
        with pytest.raises(BadInput, match="images 0: need at least 1"):
            call(images=0)


@pytest.mark.parametrize(
    ("given", "accepted"), [([], ()), (["w3"], ("w3",)), (["rejected"], all_precisions())]
)
def test_what_the_quality_gate_rejects_is_accepted_on_request(
    given: list[str],
    accepted: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[ExportRequest] = []

    def run(request: ExportRequest, console: object) -> int:
        requests.append(request)
        raise BadInput("enough")

    monkeypatch.setattr("export.run.export_all.export_all", run)
    with pytest.raises(BadInput, match="enough"):
        api.export_all(build=tmp_path, accept=given)
    assert [request.accept for request in requests] == [accepted]
    with pytest.raises(BadInput, match="--accept int4: there are fp32"):
        api.export_all(build=tmp_path, accept=["int4"])


def test_a_request_that_cannot_be_served_is_raised(tmp_path: Path) -> None:
    for call in (
        lambda: api.export_all(tmp_path / "nowhere", build=tmp_path / "build"),
        lambda: api.check(tmp_path / "nowhere"),
        lambda: api.predict(tmp_path / "nowhere.onnx", __file__),
    ):
        with pytest.raises(BadInput, match="nowhere"):
            call()


@pytest.mark.slow("exports every format")
def test_export_all_returns_the_report_and_the_folders_it_wrote(
    converted: StandIn,
    model: Model,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    done = api.export_all(
        model.checkpoint,
        data,
        formats=["onnx"],
        precisions=["fp32"],
        build=tmp_path / "build",
        latency=False,
        say=said.append,
    )
    assert not done.report.failed
    assert ("onnx fp32", "pass") in [(a.name, a.verdict) for a in done.report.artifacts]
    assert sorted(folder.name for folder in done.folders) == [
        "android_assets",
        "ios_assets",
        "web_assets",
    ]
    assert all((folder / "manifest.json").is_file() for folder in done.folders)
    assert any("1 passed, 0 failed" in line for line in said)
    assert capsys.readouterr().out == ""


@pytest.mark.ci("checks a whole export once more")
def test_check_returns_the_report(exported: Exported, model: Model, data: Path) -> None:
    report = api.check(exported.root, model.folder, data, images=4)
    assert report.command == "check"
    assert not report.failed
    assert {artifact.verdict for artifact in report.artifacts} <= {"pass", "not_run"}
