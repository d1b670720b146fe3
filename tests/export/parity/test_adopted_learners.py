"""Learners as fastai users have them, adopted and converted: from image file to probabilities.

`Learner.predict` opens the file, resizes it by the learner's own transforms and runs its model; on
the other side are a file of each format and the pixels that an app makes by the checkpoint's rule.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

pytest.importorskip("fastai")

import fastai.callback.progress  # noqa: F401 - gives every Learner its `no_bar`
from fastai.learner import Learner
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from torch import nn
from torchvision.models import squeezenet1_1

from export.deploy.graph import build_graph
from export.deploy.metadata import model_metadata
from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.run.convert import artifact_name
from pipeline.checkpoint import Checkpoint, open_checkpoint
from pipeline.cli.main import main
from pipeline.images import read_image
from pipeline.resize.notation import resize_by

pytestmark = pytest.mark.ci("trains, adopts and converts learners of full size")

LABELS = ("blau", "grün", "rot")
IMAGES = 50
# What the learner was made with -> the resize and the side that must come of it.
LEARNERS = {
    "crop": (Resize(224), "crop", 224),
    "pad": (Resize(224, method="pad"), "pad:reflection", 224),
    "squish": (Resize(224, method="squish"), "squish", 224),
    "192 x 256": (Resize((192, 256)), "crop", (192, 256)),
    "side 384": (Resize(384), "crop", 384),
}


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    """A soft picture of any size, with a disc in the label's colour; many are long."""
    width, height = (int(x) for x in np.exp(rng.uniform(np.log(90), np.log(700), 2)))
    coarse = rng.integers(0, 90, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    colour = [int(x) for x in rng.integers(0, 40, 3)]
    colour[2 - label] = 250
    radius = int(min(width, height) * rng.uniform(0.25, 0.45))
    x, y = (int(rng.integers(radius, length - radius)) for length in (width, height))
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, fill=tuple(colour))
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(1)
    for split, count in (("train", 8), ("valid", IMAGES)):
        for i in range(count * (3 if split == "train" else 1)):
            label = i % len(LABELS)
            folder = root / split / LABELS[label]
            folder.mkdir(parents=True, exist_ok=True)
            draw(rng, label).save(folder / f"{i}.{('png', 'jpg')[i % 2]}")
    return root


def run_by(checkpoint: Checkpoint, name: str, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file of the format in fp32, run by its runtime or the evaluator: uint8 NHWC -> probs."""
    spec, verbs = checkpoint.spec, verbs_of(name)
    path = folder / artifact_name(spec.name, name, "fp32")
    metadata = model_metadata(spec, checkpoint.sha256)
    verbs.convert(build_graph(checkpoint), spec, metadata, "fp32", path)
    for runner in (verbs, *verbs.ALSO):
        try:
            session = runner.load(path, threads=1)
        except CannotRunHere:
            continue
        return lambda images, runner=runner, session=session: runner.run(session, images).probs
    raise AssertionError(f"nothing here runs {name}")


def spread_decisions(learner: Learner) -> None:
    """Redraw the last layer, so that the images are decided differently after a short training."""
    *before, last = learner.model[1]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        learner.model.eval()
        seen = [nn.Sequential(learner.model[0], *before)(x) for x, _ in learner.dls.valid]
        features = torch.cat(seen).as_subclass(torch.Tensor)
        mean = features.mean(0)
        weight = torch.randn(last.weight.shape, generator=generator)
        weight -= (weight @ mean)[:, None] * mean / mean.dot(mean)  # logits around zero
        last.weight.copy_(weight * 2 / (features @ weight.T).std(0)[:, None])


@pytest.mark.parametrize(("transform", "method", "side"), LEARNERS.values(), ids=LEARNERS)
def test_every_format_predicts_what_the_learner_predicts_from_the_image_file_on(
    transform: object, method: str, side: object, data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        data, item_tfms=transform, batch_tfms=aug_transforms(), bs=8, num_workers=0
    )
    learner = vision_learner(dls, squeezenet1_1, pretrained=False, path=tmp_path)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-3)
    spread_decisions(learner)
    learner.export("learner.pkl")
    out = tmp_path / "adopted"
    asked = ["adopt", str(tmp_path / "learner.pkl"), "--trust-pickle", "--data", str(data)]
    assert main([*asked, "--name", "discs", "--out", str(out)]) == 0
    checkpoint = open_checkpoint(out)
    rule = checkpoint.spec.resize
    assert rule == resize_by(method, side)
    assert checkpoint.spec.labels == LABELS

    files = sorted((data / "valid").rglob("*.*"))
    assert len(files) == IMAGES
    runs = {name: run_by(checkpoint, name, tmp_path) for name in ("onnx", "torchscript", "coreml")}
    decided, apart, flips = set(), dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0)
    with learner.no_bar(), learner.no_logging():
        for file in files:
            label, _, probs = learner.predict(file)
            decided.add(label)
            pixels = read_image(file, rule)[None]
            for name, run in runs.items():
                found = run(pixels)[0]
                apart[name] = max(apart[name], float(np.abs(found - probs.numpy()).max()))
                flips[name] += LABELS[int(found.argmax())] != label
    print(f"{method}, {side}: {len(files)} images, max |Δp| {apart}, labels that differ {flips}")
    assert max(apart.values()) <= 1e-4
    assert set(flips.values()) == {0}
    assert len(decided) > 1  # a model that always says the same proves little
