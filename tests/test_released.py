"""The released checkpoint and its published assets, on real X-rays where they are at hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from export.cli.main import main
from export.manifest.manifest import read_manifest
from export.parity.check import check_artifact
from export.parity.reference import Reference, build_references
from export.publish.assets import FOLDERS
from export.run.check_published import check_published
from export.run.convert import artifact_name
from pipeline.checkpoint import RELEASED, open_checkpoint

ROOT = Path(__file__).parent.parent
XRAYS = ROOT.parent / "shared" / "cxr"
needs_xrays = pytest.mark.skipif(not XRAYS.is_dir(), reason="real X-rays are not on this machine")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.ci("runs every published file, as make parity does")
def test_published_assets_agree_with_the_released_checkpoint_on_embedded_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a few of them; `make parity`, on every push, takes all."""
    monkeypatch.setattr("export.images.drawn_samples.EMBEDDED_SAMPLES", 10)
    rows, _ = check_published(ROOT, RELEASED, data=None, image_limit=1000)
    assert {row.parity.status for row in rows} <= {"pass", "not_run"}
    assert sum(row.parity.status == "pass" for row in rows) >= 4
    for row in rows:
        if row.parity.status == "not_run":
            assert row.format == "coreml"
        else:
            assert row.parity.images == 10 + 17 + 13  # synthetic, golden, hard


@pytest.fixture(scope="module")
def exported(shared: Path) -> Path:
    """The asset folders that `export all` makes of the released checkpoint, once in a run."""
    root = shared / "released"
    with FileLock(f"{root}.lock"):
        if not root.exists():
            build = ["--build", str(shared / "released-build")]
            assert main(["all", "--no-latency", "--out", str(root), *build]) == 0
    return root


@pytest.mark.ci("exports the released model whole")
def test_the_golden_pack_passes_for_every_artifact_made_of_the_released_checkpoint(
    exported: Path,
) -> None:
    from export.golden.replay import replay

    for folder in FOLDERS.values():
        found = replay(exported / folder)
        assert {result.status for result in found.pixels} == {"pass"}
        assert not found.failed
        assert sum(result.status == "pass" for result in found.answers) >= 5
        pack = [path for path in (exported / folder / "golden").rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in pack) < 600_000
        probs = [case.probs["squeezenet_cxr_fp32.onnx"][0] for case in found.pack.cases]
        assert max(probs) - min(probs) > 0.5  # outputs that differ show faults


@pytest.mark.ci("exports the released model whole")
@pytest.mark.parametrize("folder", FOLDERS.values())
def test_the_released_checkpoint_gives_the_published_files_byte_for_byte(
    folder: str, exported: Path
) -> None:
    """But ORT files: onnxruntime writes one table of theirs in the order of its hashes."""
    published = read_manifest(ROOT / folder)
    if published.tools != read_manifest(exported / folder).tools:
        pytest.skip("packages of other versions than those of the release are installed")
    compared = [
        file.path
        for artifact in published.artifacts
        if not artifact.path.endswith(".ort")
        for file in artifact.files
    ]
    assert len(compared) >= 5
    for path in compared:
        assert (ROOT / folder / path).read_bytes() == (exported / folder / path).read_bytes(), path


@needs_xrays
@pytest.mark.slow("runs files on 150 X-rays")
@pytest.mark.parametrize("name", ["onnx", "ort", "torchscript"])
def test_fp32_agrees_on_the_validation_xrays_to_1e_5_without_a_flip(name: str) -> None:
    """All precisions, and Core ML: `export check --data`, in .ci/run."""
    held = on_xrays()
    file = ROOT / "android_assets" / artifact_name(held.spec.name, name, "fp32")
    found = check_artifact(name, "fp32", file, held)
    assert found.status == "pass", found.reason
    assert found.sets["validation"].images == 150
    assert found.sets["validation"].max_abs_diff <= 1e-5
    assert found.label_flips == 0


@cache
def on_xrays() -> Reference:
    return build_references(open_checkpoint(RELEASED), XRAYS, 1000).of("fp32")


@needs_xrays
@pytest.mark.slow("runs the network on 150 X-rays")
def test_the_model_cards_figures_are_those_of_the_released_weights() -> None:
    from pipeline.data.dataset import read_dataset
    from pipeline.metrics.classification import evaluate

    checkpoint = open_checkpoint(RELEASED)
    spec = checkpoint.spec
    dataset = read_dataset(XRAYS / "metadata.csv")
    assert dataset.fingerprint() == spec.data["fingerprint"]
    probs = on_xrays().probs[: len(dataset.valid)]
    truth = np.array([spec.labels.index(sample.label) for sample in dataset.valid])
    patients = [sample.patient_or_file for sample in dataset.valid]
    figures = evaluate(truth, probs, spec.positive_index, spec.threshold, patients)
    for name, figure in figures.items():
        assert figure.value == pytest.approx(spec.metrics[name]["value"], abs=1e-3)


@needs_xrays
@pytest.mark.ci("trains on real X-rays, exports everything and checks it")
def test_from_real_xrays_to_proven_assets_with_the_commands_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.cli.main import main as pipeline

    monkeypatch.chdir(tmp_path)
    recipe = ["--preset", "quick", "--finetune-epochs", "1", "--side", "64", "--threads", "1"]
    data = str(XRAYS)
    assert pipeline(["train", "--data", data, "--weights", "none", *recipe]) == 0
    checkpoint = "build/checkpoints/squeezenet1_1_cxr"
    command = ["all", "--checkpoint", checkpoint, "--data", data, "--no-latency"]
    assert main(command) == 0
    assets = ["--assets", "build/export/assets"]
    assert main(["check", *assets, "--checkpoint", checkpoint, "--data", data]) == 0
    android = tmp_path / "build" / "export" / "assets" / "android_assets"
    assert (android / "squeezenet1_1_cxr_fp32.onnx").is_file()
