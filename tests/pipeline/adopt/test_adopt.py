from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

pytest.importorskip("fastai")
pytest.importorskip("sklearn")

import fastai.callback.progress  # noqa: F401 - gives every Learner its `no_bar`
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock
from fastai.data.transforms import (
    GrandparentSplitter,
    IndexSplitter,
    Normalize,
    get_image_files,
    parent_label,
)
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, LabelSmoothingCrossEntropy
from fastai.vision.augment import (
    CropPad,
    RandomResizedCrop,
    Resize,
    ResizeMethod,
    aug_transforms,
)
from fastai.vision.core import PILImage, PILImageBW
from fastai.vision.data import ImageBlock, ImageDataLoaders
from fastai.vision.learner import create_head, create_vision_model, vision_learner
from fasttransform import Transform

from pipeline.adopt import adopt as adopting
from pipeline.adopt import end_to_end as adopting_files
from pipeline.adopt import equivalence, fastai_network
from pipeline.adopt.any_learner import learner_program
from pipeline.checkpoint import SPEC_FILE, WEIGHTS_FILE, open_checkpoint
from pipeline.cli.main import main
from pipeline.images import read_image
from pipeline.model_spec import Example, Head, Owner
from pipeline.models.networks import TOPOLOGIES, Network, build_network, load_network
from pipeline.resize.notation import resize_by

pytestmark = pytest.mark.slow("trains with fastai what is adopted")

SIDE = 64
LABELS = ("clear", "opacity")


class Harmful:
    """Pickles as a call of `touch`."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.proof}",)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of few images, wider than high; `opacity` is brighter."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("valid", 3)):
        for label, top in zip(LABELS, (120, 255), strict=True):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                coarse = rng.integers(0, top, (9, 13, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((130, 90), 3).save(folder / f"{i}.png")
    return root


def loaders(photos: Path, method: str = ResizeMethod.Squish, **options: object) -> object:
    options = {"item_tfms": Resize(SIDE, method=method), "bs": 2, **options}
    return ImageDataLoaders.from_folder(photos, num_workers=0, **options)


def learn(photos: Path, place: Path, architecture: str = "squeezenet1_1", **options: object):
    """A learner as people make it, after one epoch; in `place`."""
    torch.manual_seed(0)
    dls = options.pop("dls", None) or loaders(photos)
    arch = getattr(torchvision.models, architecture)
    learner = vision_learner(dls, arch, pretrained=False, path=place, **options)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-4)
    return learner


@pytest.fixture(scope="module")
def squeezenet(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A trained SqueezeNet's learner and its files, as fastai writes them."""
    place = tmp_path_factory.mktemp("squeezenet")
    learner = learn(photos, place)
    weights = learner.save("weights")
    learner.export("learner.pkl")
    return SimpleNamespace(learner=learner, weights=weights, export=place / "learner.pkl")


# Of a learner that was not pretrained, and squished its images.
RAW = ("--mean", "0,0,0", "--std", "1,1,1", "--side", str(SIDE), "--resize", "squish")
OF_WEIGHTS = ("--labels", ",".join(LABELS), *RAW)


def adopt(source: Path, out: Path, *options: object) -> int:
    return main(["adopt", str(source), "--out", str(out), *map(str, options)])


def refused(capsys: pytest.CaptureFixture[str], source: Path, out: Path, *options: object) -> str:
    """The one line that reports a refusal; nothing is written."""
    assert adopt(source, out, *options) == 2
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}*"))
    return capsys.readouterr().err


def probs_of(folder: Path, paths: list[Path]) -> np.ndarray:
    """What a checkpoint answers, computed here from its files alone."""
    spec = open_checkpoint(folder).spec
    images = np.stack([read_image(path, spec.resize) for path in paths])
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (spec.mean, spec.std))
    with torch.no_grad():
        logits = load_network(open_checkpoint(folder))(((x - mean) / std).float())
    return logits.softmax(1).numpy()


def get_preds(learner: Learner, paths: list[Path]) -> np.ndarray:
    with learner.no_bar(), learner.no_logging():
        return learner.get_preds(dl=learner.dls.test_dl(paths, bs=2, num_workers=0))[0].numpy()


def valid_images(photos: Path) -> list[Path]:
    return sorted((photos / "valid").rglob("*.png"))


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- the five topologies


@pytest.mark.parametrize(
    "architecture",
    [
        name
        if name == "squeezenet1_1"
        else pytest.param(name, marks=pytest.mark.ci("adopts each of the other topologies"))
        for name in TOPOLOGIES
    ],
)
def test_a_learner_of_each_topology_is_adopted_from_both_of_its_files(
    architecture, photos, tmp_path
):
    learner = learn(photos, tmp_path, architecture)
    wanted = get_preds(learner, valid_images(photos))
    weights = learner.save("weights", with_opt=False)
    learner.export("learner.pkl")
    norm = learner.model[1][2]
    assert norm.running_mean.abs().max() > 1e-3  # there is something to fold

    out = tmp_path / "from_export"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0
    spec = open_checkpoint(out).spec
    assert (spec.architecture, spec.labels, spec.side) == (architecture, LABELS, SIDE)
    assert spec.head == Head("concat_pool", (512,))
    assert np.abs(probs_of(out, valid_images(photos)) - wanted).max() <= 1e-5
    assert np.ptp(wanted[:, 0]) > 1e-4  # and not because the output is always the same
    assert spec.training["own_predictions"]["max_abs_diff"] <= 1e-5

    again = tmp_path / "from_weights"
    assert adopt(weights, again, *OF_WEIGHTS, "--architecture", architecture) == 0
    assert (again / WEIGHTS_FILE).read_bytes() == (out / WEIGHTS_FILE).read_bytes()
    shutil.rmtree(tmp_path)  # hundreds of megabytes


# --- what is read from an exported learner


def test_an_exported_learner_says_all_that_a_checkpoint_needs(squeezenet, tmp_path, photos, capsys):
    out = tmp_path / "adopted"
    assert adopt(squeezenet.export, out, "--trust-pickle") == 0
    spec = open_checkpoint(out).spec
    assert (spec.name, spec.labels, spec.side) == ("squeezenet1_1_learner", LABELS, SIDE)
    assert (spec.mean, spec.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # pretrained=False
    assert spec.resize == resize_by("squish", SIDE)
    assert spec.training["learner_transforms"][0] == f"Resize {SIDE}x{SIDE} squish"
    assert "as they were given" not in spec.training["initial_weights"]
    assert spec.training["own_predictions_drawn"]["max_abs_diff"] <= 1e-5
    wanted = get_preds(squeezenet.learner, valid_images(photos))
    assert np.abs(probs_of(out, valid_images(photos)) - wanted).max() <= 1e-5
    told = capsys.readouterr().out
    assert f"image: the whole of it squished to {SIDE} x {SIDE} pixels" in told
    assert "drawn files, from file to probabilities, the learner's own and ours: max |Δp|" in told


def test_without_data_the_threshold_is_one_half_and_there_are_no_figures(
    squeezenet, tmp_path, capsys
):
    assert adopt(squeezenet.export, tmp_path / "a", "--trust-pickle") == 0
    spec = open_checkpoint(tmp_path / "a").spec
    assert (spec.threshold, spec.metrics, spec.data) == (0.5, {}, {})
    told = capsys.readouterr().out
    assert "threshold 0.5: without --data" in told
    assert "no figures" in told


def test_with_data_there_are_figures_and_a_threshold(squeezenet, tmp_path, photos, capsys):
    out = tmp_path / "a"
    assert adopt(squeezenet.export, out, "--trust-pickle", "--data", photos) == 0
    spec = open_checkpoint(out).spec
    assert set(spec.metrics) == {
        "accuracy",
        "auroc",
        "calibration_error",
        "recall",
        "specificity",
    }
    assert spec.threshold != 0.5
    assert spec.data["images"]["valid"] == {"clear": 3, "opacity": 3}
    probs = probs_of(out, valid_images(photos))[:, spec.positive_index]
    truth = np.array([path.parent.name == spec.positive for path in valid_images(photos)])
    assert spec.metrics["accuracy"]["value"] == np.mean((probs >= spec.threshold) == truth)
    told = capsys.readouterr().out
    assert "validation images, from file to probabilities, the learner's own and ours" in told


def test_a_learners_own_probabilities_are_judged_and_kept(squeezenet, tmp_path, photos, capsys):
    out = tmp_path / "a"
    assert adopt(squeezenet.export, out, "--trust-pickle", "--data", photos) == 0
    found = open_checkpoint(out).spec.calibration
    assert found.temperature == 1.0
    assert found.before == found.after
    assert "an adopted learner keeps its own probabilities" in found.refused
    told = capsys.readouterr().out
    assert all(sentence in told for sentence in found.sentences())
    assert "6 images in all" in told


def test_the_owners_words_are_those_of_the_adopted_checkpoint(squeezenet, tmp_path, photos):
    shown, out = valid_images(photos)[0], tmp_path / "a"
    given = ("--intended-use", "Sorts toys.", "--images-are", "photos", "--looks-for", "balls")
    given = ("--trust-pickle", "--data", photos, *given, "--example", shown)
    assert adopt(squeezenet.export, out, *given) == 0
    spec = open_checkpoint(out).spec
    examples = (Example("examples/1.jpg", shown.parent.name),)
    assert spec.intended_use == "Sorts toys."
    assert spec.owner == Owner("photos", "balls", examples=examples)
    assert (out / "examples" / "1.jpg").is_file()


def test_a_group_column_without_images_is_refused(squeezenet, tmp_path, capsys):
    options = ("--trust-pickle", "--group-column", "scene")
    said = refused(capsys, squeezenet.export, tmp_path / "a", *options)
    assert "--group-column scene is of a table" in said


def test_labels_of_the_data_in_another_order_are_matched_by_name(tmp_path, photos):
    dls = loaders(photos)
    learner = learn(photos, tmp_path, dls=dls)
    for loader in learner.dls.loaders:
        loader.dataset.tfms[1][-1].vocab.items[:] = reversed(LABELS)  # as with sort=False
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0
    spec = open_checkpoint(out).spec
    assert spec.labels == ("opacity", "clear")
    probs = probs_of(out, valid_images(photos))[:, spec.positive_index]
    truth = np.array([path.parent.name == spec.positive for path in valid_images(photos)])
    assert spec.metrics["accuracy"]["value"] == np.mean((probs >= spec.threshold) == truth)


def test_a_given_threshold_and_positive_label_are_kept(squeezenet, tmp_path, photos):
    given = ("--threshold", 0.3, "--positive", "clear", "--model-version", "2.0.0", "--name", "m")
    assert adopt(squeezenet.export, tmp_path / "a", "--trust-pickle", "--data", photos, *given) == 0
    spec = open_checkpoint(tmp_path / "a").spec
    assert (spec.threshold, spec.positive, spec.version, spec.name) == (0.3, "clear", "2.0.0", "m")


def test_the_checkpoint_names_its_source_without_a_path(squeezenet, tmp_path, photos):
    out = tmp_path / "a"
    assert adopt(squeezenet.export, out, "--trust-pickle", "--data", photos) == 0
    text = (out / SPEC_FILE).read_text()
    source = json.loads(text)["training"]["adopted_from"]
    assert source["file"] == "learner.pkl"
    assert source["sha256"] == fastai_sha256(squeezenet.export)
    assert str(squeezenet.export.parent) not in text
    assert str(photos.parent) not in text


def fastai_sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_normalised_learner_brings_its_mean_and_std(tmp_path, photos):
    from fastai.data.transforms import Normalize

    stats = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    batch_tfms = [*aug_transforms(), Normalize.from_stats(*stats, cuda=False)]
    learner = learn(photos, tmp_path, dls=loaders(photos, batch_tfms=batch_tfms))
    learner.export("learner.pkl")
    assert adopt(tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle") == 0
    spec = open_checkpoint(tmp_path / "a").spec
    assert (spec.mean, spec.std) == stats
    wanted = get_preds(learner, valid_images(photos))
    assert np.abs(probs_of(tmp_path / "a", valid_images(photos)) - wanted).max() <= 1e-5


# What fastai users write, and the method that must be found.
KEPT = {
    "crop": (Resize(SIDE), "crop", SIDE),
    "squish, wide": (Resize((48, 96), method="squish"), "squish", (48, 96)),
    "crop, high": (Resize((96, 48)), "crop", (96, 48)),
    "pad": (Resize(SIDE, method="pad"), "pad:reflection", SIDE),
    "pad, black": (Resize((48, 96), method="pad", pad_mode="zeros"), "pad:zeros", (48, 96)),
    "pad, border": (Resize(SIDE, method="pad", pad_mode="border"), "pad:border", SIDE),
    "random crops": (RandomResizedCrop(SIDE), "squish:16", SIDE),
    "middle": (CropPad(SIDE), "centre:zeros", SIDE),
}


@pytest.mark.parametrize(("transform", "method", "side"), KEPT.values(), ids=KEPT)
def test_a_learner_keeps_its_own_resize_from_image_file_to_probabilities(
    transform, method, side, tmp_path, photos
):
    torch.manual_seed(0)
    dls = loaders(photos, item_tfms=transform)
    arch = torchvision.models.squeezenet1_1
    learner = vision_learner(dls, arch, pretrained=False, path=tmp_path)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0
    spec = open_checkpoint(out).spec
    assert spec.resize == resize_by(method, side)
    wanted = get_preds(learner, valid_images(photos))
    assert np.abs(probs_of(out, valid_images(photos)) - wanted).max() <= 1e-5
    assert np.ptp(wanted[:, 0]) > 1e-4
    for proof in ("own_predictions", "own_predictions_drawn"):
        assert spec.training[proof]["max_abs_diff"] <= 1e-5
    assert "learner_resize_is_ours" not in spec.training


def test_what_a_crop_never_shows_decides_nothing(tmp_path, capsys):
    """Bright blocks at the sides, which tell nothing: squished, they changed 12 labels of 40."""
    rng = np.random.default_rng(5)
    root = tmp_path / "data"
    for split, count in (("train", 8), ("valid", 20)):
        for place, label in enumerate(("left", "right")):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 60, (60, 160, 3), dtype=np.uint8)
                pixels[15:45, 55 + 25 * place : 80 + 25 * place] += 90
                side = (0, 115)[rng.integers(2)]
                pixels[5:55, side : side + 45] += 180
                Image.fromarray(pixels).save(root / split / label / f"{i}.png")
    learner = learn(root, tmp_path, dls=loaders(root, item_tfms=Resize(SIDE), bs=8))
    learner.export("learner.pkl")
    assert adopt(tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle", "--data", root) == 0
    paths = valid_images(root)
    assert len(paths) == 40
    theirs, ours = get_preds(learner, paths), probs_of(tmp_path / "a", paths)
    assert np.abs(ours - theirs).max() <= 1e-5
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))
    spec = open_checkpoint(tmp_path / "a").spec
    cropped, squished = read_image(paths[0], spec.resize), read_image(paths[0], SIDE)
    assert cropped.max() < 160 < squished.max()


REFUSED = {
    "presized": {"item_tfms": Resize(90), "batch_tfms": aug_transforms(size=SIDE)},
    "presized by random crops": {
        "item_tfms": Resize(90),
        "batch_tfms": aug_transforms(size=SIDE, min_scale=0.75),
    },
    "another filter": {"item_tfms": Resize(SIDE, resamples=(Image.Resampling.NEAREST, 0))},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_a_learner_whose_resize_apps_cannot_repeat_is_refused_with_the_nearest_and_a_way_out(
    options, tmp_path, photos, capsys
):
    torch.manual_seed(0)
    dls = loaders(photos, **options)
    arch = torchvision.models.squeezenet1_1
    vision_learner(dls, arch, pretrained=False, path=tmp_path).export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "learner.pkl: the learner's resize is none that a mobile app can repeat exactly" in told
    assert "Resize 90x90 crop" in told or "Resize 64x64 crop" in told
    assert "The nearest is crop, off by up to " in told
    assert "no resize among the batch transforms" in told
    assert "export it again" in told


def test_an_image_that_the_learner_reads_otherwise_is_named(tmp_path, photos, capsys):
    root = shutil.copytree(photos, tmp_path / "data")
    turned = root / "valid" / "clear" / "0.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(turned) as image:
        image.load()
    image.save(turned, exif=exif)
    learner = learn(root, tmp_path)
    learner.export("learner.pkl")
    source, out = tmp_path / "learner.pkl", tmp_path / "a"
    told = refused(capsys, source, out, "--trust-pickle", "--data", root)
    assert f"{turned}: the learner's own prediction and that of the adopted network differ" in told
    assert "1 of 6 images do" in told
    assert "fastai ignores an EXIF orientation" in told
    assert adopt(source, out, "--trust-pickle") == 0  # the drawn files are stored upright


def of_rows(photos: Path, **options: object) -> object:
    """Loaders of a table's rows, as people with a CSV file have them."""
    paths = sorted(photos.rglob("*.png"))
    rows = [{"file": path, "label": path.parent.name} for path in paths]
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=lambda row: row["file"],
        get_y=lambda row: row["label"],
        splitter=IndexSplitter([i for i, path in enumerate(paths) if "valid" in path.parts]),
        **options,
    )
    return block.dataloaders(rows, bs=2, num_workers=0)


def test_a_learner_of_a_tables_rows_is_adopted_with_its_transforms(tmp_path, photos, capsys):
    dls = of_rows(photos, item_tfms=Resize(SIDE, method="squish"))
    learner = learn(photos, tmp_path, dls=dls)
    rows = [{"file": path} for path in valid_images(photos)]
    wanted = get_preds(learner, rows)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0
    assert open_checkpoint(out).spec.resize == resize_by("squish", SIDE)
    assert open_checkpoint(out).spec.training["own_predictions"]["max_abs_diff"] <= 1e-5
    assert np.abs(probs_of(out, valid_images(photos)) - wanted).max() <= 1e-5


def refuse_images(_: PILImage) -> PILImage:
    raise RuntimeError("only for the images of our archive")


def test_a_learner_whose_transforms_refuse_a_file_is_refused(tmp_path, photos, capsys):
    learner = learn(photos, tmp_path)
    learner.dls.valid.after_item.fs.insert(0, Transform(refuse_images))
    learner.export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "only for the images of our archive" in told
    assert "Adopt its weights (learn.save), and say with --side, --resize, --mean and --std" in told


def test_three_labels_have_no_positive_one(tmp_path, photos):
    root = shutil.copytree(photos, tmp_path / "three")
    for split in ("train", "valid"):
        (root / split / "unclear").mkdir()
        for path in (root / split / "clear").iterdir():
            ImageOps.mirror(Image.open(path)).save(root / split / "unclear" / path.name)
    learner = learn(root, tmp_path)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", root) == 0
    spec = open_checkpoint(out).spec
    assert (spec.labels, spec.positive) == (("clear", "opacity", "unclear"), None)
    assert spec.threshold is None


@pytest.mark.parametrize("loss", [LabelSmoothingCrossEntropy(), nn.CrossEntropyLoss()])
def test_another_loss_that_ends_in_a_softmax_is_welcome(loss, tmp_path, photos):
    learner = learn(photos, tmp_path, loss_func=loss)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0


def test_a_learner_of_this_projects_network_is_adopted_as_it_is(tmp_path, photos):
    torch.manual_seed(1)
    network = build_network("squeezenet1_1", 2)
    learner = Learner(
        loaders(photos), network, CrossEntropyLossFlat(), path=tmp_path, splitter=_body_and_head
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-4)
    learner.export("learner.pkl")
    weights = learner.save("weights")
    for source, options in ((tmp_path / "learner.pkl", ["--trust-pickle"]), (weights, OF_WEIGHTS)):
        out = tmp_path / source.stem
        assert adopt(source, out, *options) == 0
        assert open_checkpoint(out).spec.head is None
        assert json.loads((out / SPEC_FILE).read_text())["schema"] == 1
        written = open_checkpoint(out).weights()
        assert all(torch.equal(written[n], t) for n, t in network.state_dict().items())


def _body_and_head(network: Network) -> list[list[nn.Parameter]]:
    return [list(network.body.parameters()), list(network.head.parameters())]


# --- what is read from weights


def test_weights_with_and_without_optimiser_bare_and_safetensors_give_one_checkpoint(
    squeezenet, tmp_path
):
    learner = squeezenet.learner
    bare, safe = tmp_path / "bare.pt", tmp_path / "safe.safetensors"
    torch.save(learner.model.state_dict(), bare)
    save_file(state_of(learner.model), safe)
    plain = tmp_path / "plain.pth"
    learner.save(plain.with_suffix(""), with_opt=False)
    assert set(torch.load(plain, weights_only=True)) == set(learner.model.state_dict())
    contents = set()
    for source in (squeezenet.weights, plain, bare, safe):
        out = tmp_path / f"of_{source.stem}"
        assert adopt(source, out, *OF_WEIGHTS) == 0
        contents.add((out / WEIGHTS_FILE).read_bytes())
    assert len(contents) == 1


SPELLINGS = {
    "data parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "lightning": lambda state: {
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "epoch": 3,
    },
    "another lightning": lambda state: {
        "state_dict": {f"net.{name}": value for name, value in state.items()}
    },
    "both": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "beside other things": lambda state: {"model_state_dict": state, "loss": 0.1},
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_weights_under_the_names_of_others_are_the_same_weights(
    spelling, squeezenet, tmp_path, capsys
):
    state = state_of(squeezenet.learner.model)
    torch.save(state, tmp_path / "plain.pth")
    torch.save(spelling(state), tmp_path / "other.pth")
    told = {}
    for name in ("plain", "other"):
        assert adopt(tmp_path / f"{name}.pth", tmp_path / name, *OF_WEIGHTS) == 0
        told[name] = capsys.readouterr().out
    for said in ("before every name is left out", "under model_state_dict in the file"):
        assert said not in told["plain"]
    assert "before every name is left out" in told["other"] or "model_state_dict" in told["other"]
    plain, other = ((tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("plain", "other"))
    assert plain == other


def test_a_file_without_any_weights_is_refused(tmp_path, capsys):
    save_file({}, tmp_path / "empty.safetensors")
    told = refused(capsys, tmp_path / "empty.safetensors", tmp_path / "a", *OF_WEIGHTS)
    assert "no known body: 0 tensors" in told


def test_suffixes_are_read_in_any_case(squeezenet, tmp_path):
    learner, safe = tmp_path / "UPPER.PKL", tmp_path / "UPPER.SAFETENSORS"
    shutil.copy(squeezenet.export, learner)
    assert adopt(learner, tmp_path / "a", "--trust-pickle") == 0
    save_file(state_of(squeezenet.learner.model), safe)
    assert adopt(safe, tmp_path / "b", *OF_WEIGHTS) == 0


def test_what_weights_do_not_say_is_reported_and_imagenets(squeezenet, tmp_path, capsys):
    given = ("--labels", "no,yes", "--side", SIDE, "--resize", "squish")
    assert adopt(squeezenet.weights, tmp_path / "a", *given) == 0
    spec = open_checkpoint(tmp_path / "a").spec
    assert spec.labels == ("no", "yes")
    assert spec.mean == (0.485, 0.456, 0.406)
    told = capsys.readouterr().out
    assert "--mean not given: (0.485, 0.456, 0.406)" in told
    assert "--positive not given: yes" in told
    assert "pixels (no crop, aspect ratio not kept), as --resize and --side say" in told
    assert "each image has one of the labels: a softmax" in told
    kept = "that an image has one label are as they were given or assumed, not read"
    assert f"initial weights: {spec.training['initial_weights']}" in told
    assert kept in spec.training["initial_weights"]


def worn(model: nn.Module) -> nn.Module:
    """A model with batch norms that have seen images."""
    torch.manual_seed(3)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.2)
        for _ in range(2):
            model(torch.randn(4, 3, SIDE, SIDE))
    return model.eval()


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({"lin_ftrs": [32, 16, 8]}, Head("concat_pool", (32, 16, 8))),
        ({"lin_ftrs": []}, Head("concat_pool", ())),
        ({"ps": 0.0}, Head("concat_pool", (512,))),
        ({"lin_ftrs": [16], "ps": [0.5, 0.0]}, Head("concat_pool", (16,))),
        ({"lin_ftrs": [16], "bn_final": True}, Head("concat_pool", (16,))),
        ({"lin_ftrs": [16], "first_bn": False}, Head("concat_pool", (16,))),
        ({"lin_ftrs": [16], "first_bn": False, "ps": 0.0}, Head("concat_pool", (16,))),
        ({"lin_ftrs": [16], "concat_pool": False}, Head("average_pool", (16,))),
    ],
    ids=str,
)
def test_heads_of_other_options_are_recognised_by_their_weights(options, head, tmp_path):
    model = worn(
        create_vision_model(torchvision.models.squeezenet1_1, 2, pretrained=False, **options)
    )
    torch.save(model.state_dict(), tmp_path / "w.pth")
    assert adopt(tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS) == 0
    spec = open_checkpoint(tmp_path / "a").spec
    assert spec.head == head
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = model(pixels)
        found = load_network(open_checkpoint(tmp_path / "a"))(pixels)
    assert torch.allclose(found, wanted, atol=1e-5 * wanted.abs().max().item())


def test_fastai_1_gave_its_dense_layers_a_bias(tmp_path):
    head = create_head(512, 2)
    for place in (4, 8):
        head[place] = nn.Linear(head[place].in_features, head[place].out_features)
    model = worn(
        create_vision_model(torchvision.models.resnet34, 2, pretrained=False, custom_head=head)
    )
    torch.save({"model": model.state_dict(), "opt": {}}, tmp_path / "w.pth")
    assert adopt(tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS) == 0
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        found = load_network(open_checkpoint(tmp_path / "a"))(pixels)
        assert torch.allclose(found, model(pixels), atol=1e-4)


def test_weights_in_half_precision_are_adopted(squeezenet, tmp_path):
    half = {
        n: t.half() if t.is_floating_point() else t
        for n, t in squeezenet.learner.model.state_dict().items()
    }
    torch.save(half, tmp_path / "half.pth")
    assert adopt(tmp_path / "half.pth", tmp_path / "a", *OF_WEIGHTS) == 0
    assert {t.dtype for t in open_checkpoint(tmp_path / "a").weights().values()} == {torch.float32}


# --- what is refused


def test_another_body_is_refused_with_what_was_found_and_a_way_out(tmp_path, capsys):
    model = create_vision_model(torchvision.models.resnet18, 2, pretrained=False)
    model[0][0] = nn.Conv2d(3, 64, 5, 2, 2, bias=False)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    told = refused(capsys, tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS)
    assert "this looks like torchvision's resnet18, but for 0.0.weight, (64, 3, 5, 5) here" in told
    assert "adopt the file of `learn.export` with --trust-pickle" in told


def test_a_topology_outside_the_paper_is_adopted(tmp_path):
    model = create_vision_model(torchvision.models.resnet18, 2, pretrained=False)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    assert adopt(tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS) == 0
    assert open_checkpoint(tmp_path / "a").spec.architecture == "resnet18"


def custom(*layers: nn.Module) -> nn.Module:
    return create_vision_model(
        torchvision.models.squeezenet1_1, 2, pretrained=False, custom_head=nn.Sequential(*layers)
    )


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(512, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(512), nn.Linear(512, 2)),
        (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(2048, 2)),
        (nn.Flatten(), nn.Linear(512, 2)),
    ],
    ids=["convolution", "layer norm", "larger pool", "no pool"],
)
def test_a_head_of_ones_own_in_weights_is_refused(layers, tmp_path, capsys):
    torch.save(custom(*layers).state_dict(), tmp_path / "w.pth")
    told = refused(capsys, tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS)
    assert "the head" in told
    assert "supported are the head of fastai's vision_learner" in told


class Block(nn.Module):
    """A network of one's own: a batch norm, a branch with a scale, a sum."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, 8, 3, 2), nn.BatchNorm2d(8)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.7))
        self.head = nn.Linear(8, 2)

    def forward(self, pixels):
        x = functional.gelu(self.norm(self.stem(pixels)))
        return self.head((x + self.scale * self.branch(x)).mean((2, 3)))


def learner_of(model: nn.Module, photos: Path, place: Path) -> Learner:
    return Learner(loaders(photos), model, CrossEntropyLossFlat(), path=place)


def with_own_head(photos: Path, place: Path) -> Learner:
    learner = learn(photos, place)
    learner.model[1][5] = nn.SiLU()  # no weights: only the module itself shows it
    return learner


def with_own_activation(photos: Path, place: Path) -> Learner:
    learner = learn(photos, place)
    learner.model[0][0][1] = nn.ELU()  # names and shapes are SqueezeNet's
    return learner


def with_own_network(photos: Path, place: Path) -> Learner:
    torch.manual_seed(0)
    return learner_of(Block(), photos, place)


@pytest.mark.parametrize(
    ("made", "architecture", "why"),
    [
        (with_own_head, "program/squeezenet1_1", "the head has SiLU"),
        (with_own_activation, "program/squeezenet1_1", "it only looks like squeezenet1_1: max"),
        (with_own_network, "program/Block", "looks like no network of torchvision, fastai or timm"),
    ],
)
def test_what_no_library_builds_is_kept_as_a_program(
    made, architecture, why, tmp_path, photos, capsys
):
    learner = made(photos, tmp_path)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0
    told = capsys.readouterr().out.splitlines()
    assert any(line.startswith("kept as a program: ") and why in line for line in told)
    assert open_checkpoint(out).spec.architecture == architecture
    found = probs_of(out, valid_images(photos))
    assert np.abs(found - get_preds(learner, valid_images(photos))).max() < 1e-5


def test_a_fault_in_a_program_is_not_written(tmp_path, photos, monkeypatch, capsys):
    fold = learner_program.STEPS[0]

    def faulty(program):
        made = fold(program)
        with torch.no_grad():
            made.network.get_parameter("branch.weight")[0] *= 1.01
        return made

    monkeypatch.setattr(learner_program, "STEPS", (faulty, *learner_program.STEPS[1:]))
    learner_of(Block(), photos, tmp_path).export("learner.pkl")
    assert adopt(tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle") == 1
    assert not (tmp_path / "a").exists()
    assert "was not written" in capsys.readouterr().out


def test_a_module_that_decides_by_its_pixels_is_refused_in_words(tmp_path, photos, capsys):
    learner_of(Deciding(), photos, tmp_path).export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "Nor can it be kept as a program: its forward decides by what is in an image" in told


class Deciding(Block):
    def forward(self, pixels):
        return super().forward(pixels if pixels.sum() > 0 else -pixels)


def grey_learner(photos: Path, place: Path) -> Learner:
    """Its images are opened in grey; its network is untrained."""
    block = DataBlock(
        blocks=(ImageBlock(PILImageBW), CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=GrandparentSplitter(),
        item_tfms=Resize(SIDE),
        batch_tfms=Normalize.from_stats([0.4], [0.3]),
    )
    torch.manual_seed(0)
    dls = block.dataloaders(photos, num_workers=0, bs=2)
    model = Block(channels=1)
    with torch.no_grad():
        model.head.weight *= 30  # what it sees decides
    return Learner(dls, model, CrossEntropyLossFlat(), path=place)


def test_a_learner_of_grey_images_gives_its_own_answers_to_grey_pictures(tmp_path, photos, capsys):
    learner = grey_learner(photos, tmp_path)
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle") == 0
    spec = open_checkpoint(out).spec
    assert (spec.mean, spec.std) == ((0.4,) * 3, (0.3,) * 3)
    assert spec.training["grey"] in capsys.readouterr().out
    grey = tmp_path / "grey.png"
    Image.open(valid_images(photos)[0]).convert("L").save(grey)
    assert np.abs(probs_of(out, [grey]) - get_preds(learner, [grey])).max() < 1e-5


def test_pictures_in_colour_are_not_measured_with_a_learner_of_grey_ones(tmp_path, photos, capsys):
    grey_learner(photos, tmp_path).export("learner.pkl")
    told = refused(
        capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle", "--data", photos
    )
    assert "It is in colour, and the learner turns it to grey before it resizes it" in told


def test_a_fault_in_folding_is_not_written(squeezenet, tmp_path, monkeypatch, capsys):
    fold = fastai_network.fold_head

    def faulty(head: nn.Module):
        kind, tensors = fold(head)
        tensors["0.bias"] = tensors["0.bias"] * 1.01
        return kind, tensors

    monkeypatch.setattr(fastai_network, "fold_head", faulty)
    assert adopt(squeezenet.weights, tmp_path / "a", *OF_WEIGHTS) == 1
    assert not (tmp_path / "a").exists()
    assert "was not written" in capsys.readouterr().out


def test_a_disagreement_on_the_users_images_alone_is_not_written(
    squeezenet, tmp_path, photos, monkeypatch
):
    end_to_end = adopting.end_to_end

    def drawn_alone(*arguments: object) -> object:
        assert arguments[-1] == "drawn files", "went on after a disagreement"
        return end_to_end(*arguments)

    monkeypatch.setattr(adopting, "end_to_end", drawn_alone)
    compare = equivalence.compare
    calls = []

    def on_the_second(one: np.ndarray, other: np.ndarray) -> equivalence.Equivalence:
        calls.append(len(one))
        return compare(one, other + np.float32(len(calls) - 1) * np.array([1e-3, 0], np.float32))

    monkeypatch.setattr(equivalence, "compare", on_the_second)
    out = tmp_path / "a"
    assert adopt(squeezenet.export, out, "--trust-pickle", "--data", photos) == 1
    assert calls == [2 * equivalence.PROBES, 6, 6]  # the last in float64
    assert not out.exists()


class Doubt(Callback):
    """Changes the model's outputs; a part of the learner that no checkpoint can hold."""

    def after_pred(self) -> None:
        if not self.training:
            self.learn.pred = self.learn.pred * 0.9


def test_a_learner_whose_predictions_are_not_its_models_is_not_written(tmp_path, photos, capsys):
    learner = learn(photos, tmp_path, cbs=Doubt())
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 1
    assert not out.exists()
    assert "was not written" in capsys.readouterr().out


def test_a_saturated_output_hides_no_difference():
    one = np.array([[40.0, -40.0]], np.float32)
    found = equivalence.compare(one, one * np.float32(1.01))
    assert found.max_abs_diff <= equivalence.TOLERANCE
    assert not found.holds
    assert equivalence.compare(one, one).holds
    assert not equivalence.compare(one, one * np.float32("nan")).holds


class CancellingSum(nn.Module):
    """x (N, D) -> logits (N, 2) around 1, as the difference of sums of thousands, in any order."""

    def __init__(self, order: torch.Tensor) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        large = torch.randn(2, len(order) // 2, generator=generator) * 100
        small = torch.randn(large.shape, generator=generator) * 0.02
        self.order = order
        self.weight = nn.Parameter(torch.cat([large + small, -large], 1)[:, order])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x], 1)[:, self.order] @ self.weight.T


def test_networks_that_only_sum_in_another_order_agree_and_others_do_not():
    order = torch.arange(8192)
    one = CancellingSum(order)
    other = CancellingSum(order.flip(0))
    x = torch.randn(4, 4096, generator=torch.Generator().manual_seed(1))
    plain = equivalence.compare(equivalence.logits(one, [x]), equivalence.logits(other, [x]))
    assert not plain.holds  # float32 alone would refuse it

    found, _ = equivalence.agreement(one, other, lambda: [x])
    assert found.holds

    with torch.no_grad():
        other.weight[0, 0] += 1e-3
    found, _ = equivalence.agreement(one, other, lambda: [x])
    assert not found.holds


def test_predictions_that_only_round_otherwise_are_the_learners_and_others_are_not(monkeypatch):
    def of(order: torch.Tensor) -> nn.Module:
        return nn.Sequential(nn.Flatten(), CancellingSum(order))

    learners, ours = of(torch.arange(8192)), of(torch.arange(8191, -1, -1))
    x = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    theirs = equivalence.softmax(equivalence.logits(learners, [x]))
    assert np.abs(equivalence.softmax(equivalence.logits(ours, [x])) - theirs).max() > 1e-5
    original, paths = SimpleNamespace(model=learners, std=(1.0,)), [Path("x.png")] * 4
    monkeypatch.setattr(adopting_files, "_both_tensors", lambda *_: iter([(x, x)]))
    monkeypatch.setattr(adopting_files, "_own_predictions", lambda *_: theirs)
    found = adopting_files.end_to_end(original, ours, paths, "files")
    assert found is not None
    assert found.max_abs_diff <= equivalence.TOLERANCE

    monkeypatch.setattr(adopting_files, "_own_predictions", lambda *_: theirs[::-1])
    assert adopting_files.end_to_end(original, ours, paths, "files") is None
    monkeypatch.setattr(adopting_files, "_own_predictions", lambda *_: theirs)
    with torch.no_grad():
        ours[1].weight[0, 0] += 1e-2
    assert adopting_files.end_to_end(original, ours, paths, "files") is None


def test_an_architecture_that_is_not_the_files_is_refused(squeezenet, tmp_path, capsys):
    told = refused(
        capsys, squeezenet.weights, tmp_path / "a", *OF_WEIGHTS, "--architecture", "resnet34"
    )
    assert "its body is that of squeezenet1_1, not of resnet34" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "weights bring no labels: give --labels"),
        (("--labels", "a,b,c", "--resize", "crop"), "has 2 outputs, and there are 3 labels"),
        (("--labels", "a,a"), "each another name"),
        (("--labels", "a,"), "each another name"),
        (("--labels", "a,b", "--resize", "crop", "--positive", "c"), "the labels are a, b"),
        (("--labels", "a,b", "--threshold", "1"), "is not between 0 and 1"),
        (("--labels", "a,b", "--threshold", "nan"), "is not between 0 and 1"),
        (("--labels", "a,b", "--resize", "stretch"), "'stretch' is not one of squish, crop, pad"),
        (("--labels", "a,b", "--side", "16"), "is not between 32 and 1024"),
        (("--labels", "a,b", "--side", "64x16"), "width of the side 16 is not between 32"),
        (("--labels", "a,b", "--std", "1,0,1"), "must be above 0"),
        (("--labels", "a,b", "--mean", "nan,0,0"), "is not a finite number"),
        (("--labels", "a,b", "--name", "two words"), "letters, digits and underscores"),
        (("--labels", "a,b", "--architecture", "resnet99"), "there are: squeezenet1_1"),
        (("--labels", "a,b", "--trust-pickle"), "weights need no trust"),
    ],
)
def test_a_wrong_option_is_refused(squeezenet, tmp_path, capsys, options, message):
    assert message in refused(capsys, squeezenet.weights, tmp_path / "a", *options)


def test_weights_have_the_resize_that_is_given(squeezenet, tmp_path, photos):
    given = ("--labels", ",".join(LABELS), "--resize", "pad:zeros", "--side", "48x96")
    assert adopt(squeezenet.weights, tmp_path / "a", *given, "--data", photos) == 0
    assert open_checkpoint(tmp_path / "a").spec.resize == resize_by("pad:zeros", (48, 96))


def test_what_weights_do_not_say_is_assumed_aloud_and_noted(squeezenet, tmp_path, capsys):
    assert adopt(squeezenet.weights, tmp_path / "a", "--labels", ",".join(LABELS)) == 0
    said = capsys.readouterr().out
    assert "--resize not given: squish (a file of weights does not say)" in said
    assert "--side not given: 224" in said
    spec = open_checkpoint(tmp_path / "a").spec
    assert spec.resize == resize_by("squish", 224)
    assert "its resize, its normalisation" in str(spec.training)


@pytest.mark.parametrize("value", ["0.5", "1,2", "a,b,c", "1,2,3,4"])
def test_a_mean_that_is_not_three_numbers_is_refused(capsys, value):
    with pytest.raises(SystemExit) as stopped:
        main(["adopt", "w.pth", "--labels", "a,b", "--mean", value])
    assert stopped.value.code == 2
    assert f"'{value}' is not three numbers R,G,B" in capsys.readouterr().err


def test_the_help_says_that_a_pickle_runs_code(capsys):
    with pytest.raises(SystemExit):
        main(["adopt", "--help"])
    assert "opening a pickle runs the code in it" in capsys.readouterr().out


@pytest.mark.parametrize(
    "option", ["--labels=a,b", "--mean=0,0,0", "--architecture=resnet34", "--resize=crop"]
)
def test_what_a_learner_says_itself_is_not_to_be_given(squeezenet, tmp_path, capsys, option):
    told = refused(capsys, squeezenet.export, tmp_path / "a", "--trust-pickle", option)
    assert "is read from learner.pkl; leave it out" in told


def test_another_side_than_the_learners_is_refused(squeezenet, tmp_path, capsys):
    for side in ("96", "64x96"):
        told = refused(capsys, squeezenet.export, tmp_path / "a", "--trust-pickle", "--side", side)
        assert "the learner's model gets 64 x 64" in told


def test_a_multi_label_learner_is_refused(tmp_path, photos, capsys):
    learner = learn(photos, tmp_path)
    learner.loss_func = BCEWithLogitsLossFlat()
    learner.export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "does not end in a softmax; served is one label an image" in told


def findings(path):  # fastai casts to what an annotation says
    return ["nodule", "shadow"] if path.parent.name == "opacity" else ["shadow"]


def own_loss(answers, truth):
    return functional.binary_cross_entropy_with_logits(answers, truth.float())


@pytest.mark.parametrize("loss", [None, functional.binary_cross_entropy_with_logits, own_loss])
def test_a_learner_of_several_labels_an_image_is_refused_whatever_its_loss(
    loss, tmp_path, photos, capsys
):
    block = DataBlock(
        blocks=(ImageBlock, MultiCategoryBlock),
        get_items=get_image_files,
        get_y=findings,
        splitter=GrandparentSplitter(),
        item_tfms=Resize(SIDE),
    )
    dls = block.dataloaders(photos, num_workers=0, bs=2)
    arch = torchvision.models.squeezenet1_1
    learner = vision_learner(dls, arch, pretrained=False, path=tmp_path, loss_func=loss)
    learner.export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "its MultiCategorize gives an image several labels" in told


def test_a_learner_that_changes_values_otherwise_is_refused(tmp_path, photos, capsys):
    learner = learn(photos, tmp_path)
    learner.dls.valid.after_batch.fs[0].div = 127.5  # of IntToFloatTensor
    learner.export("learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "which pixels / 255 and its Normalize give" in told


def test_a_learner_whose_transforms_interpolate_validation_images_has_a_wider_limit(
    tmp_path, photos, capsys
):
    """`aug_transforms` resamples them by the identity, which is nearly nothing."""
    learner = learn(photos, tmp_path, dls=loaders(photos, batch_tfms=aug_transforms()))
    learner.export("learner.pkl")
    assert adopt(tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle", "--data", photos) == 0
    told = capsys.readouterr().out
    assert "(limit 1e-04; its transforms interpolate), its input within 0.00" in told
    proof = open_checkpoint(tmp_path / "a").spec.training["own_predictions"]
    assert proof["max_abs_diff"] <= 1e-4
    assert 1e-4 < proof["input_levels"] < 0.05


def test_data_with_other_labels_are_refused(squeezenet, tmp_path, photos, capsys):
    root = tmp_path / "other"
    for split in ("train", "valid"):
        for old, new in zip(LABELS, ("a", "b"), strict=True):
            shutil.copytree(photos / split / old, root / split / new)
    told = refused(capsys, squeezenet.export, tmp_path / "o", "--trust-pickle", "--data", root)
    assert "has the labels a, b, the learner clear, opacity" in told


def test_labels_in_another_order_than_the_outputs_are_noticed(
    squeezenet, tmp_path, photos, capsys, monkeypatch
):
    asked = []

    def doubted(labels, truth, probs, auroc, question):
        asked.append((labels, truth.tolist(), probs.shape, question))
        return "are they?"

    monkeypatch.setattr("pipeline.adopt.adopt.doubted_order", doubted)
    labels = ("--labels", ",".join(reversed(LABELS)), *RAW)
    assert adopt(squeezenet.weights, tmp_path / "a", *labels, "--data", photos) == 0
    assert "NOTE: are they?\n" in capsys.readouterr().out
    assert adopt(squeezenet.export, tmp_path / "b", "--trust-pickle", "--data", photos) == 0
    (given, truth, shape, question), (*_, of_learner) = asked
    assert "--labels" in question
    assert "--data" in of_learner
    assert given == tuple(reversed(LABELS))
    assert truth == [1, 1, 1, 0, 0, 0]  # the first folder is the second label
    assert shape == (6, 2)


def test_an_existing_checkpoint_is_replaced_only_when_asked(squeezenet, tmp_path, capsys):
    out = tmp_path / "a"
    assert adopt(squeezenet.weights, out, *OF_WEIGHTS) == 0
    before = (out / SPEC_FILE).read_bytes()
    assert adopt(squeezenet.weights, out, *OF_WEIGHTS, "--threshold", 0.7) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert (out / SPEC_FILE).read_bytes() == before
    assert adopt(squeezenet.weights, out, *OF_WEIGHTS, "--threshold", 0.7, "--overwrite") == 0
    assert open_checkpoint(out).spec.threshold == 0.7


def test_the_same_file_gives_the_same_bytes(squeezenet, tmp_path):
    for name in ("a", "b"):
        assert adopt(squeezenet.export, tmp_path / name, "--trust-pickle") == 0
    for file in (SPEC_FILE, WEIGHTS_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# --- what is never run


def test_without_trust_nothing_is_unpickled(tmp_path, capsys):
    proof, source = tmp_path / "proof", tmp_path / "learner.pkl"
    torch.save({"model": Harmful(proof)}, source)
    told = refused(capsys, source, tmp_path / "a")
    assert "opening a pickle runs the code in it" in told
    assert "--trust-pickle" in told
    assert not proof.exists()
    refused(capsys, source, tmp_path / "a", "--trust-pickle")
    assert proof.exists()  # the file does harm where it is trusted


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w", "w.safetensors"])
@pytest.mark.parametrize("save", [torch.save, lambda o, f: f.write_bytes(pickle.dumps(o, 2))])
def test_a_harmful_weights_file_is_refused_and_not_run(tmp_path, capsys, name, save):
    proof, source = tmp_path / "proof", tmp_path / name
    save({"model": Harmful(proof), "opt": {}}, source)
    refused(capsys, source, tmp_path / "a", *OF_WEIGHTS)
    assert not proof.exists()


def test_an_exported_learner_under_another_name_is_not_opened(squeezenet, tmp_path, capsys):
    source = Path(shutil.copy(squeezenet.export, tmp_path / "export.pth"))
    told = refused(capsys, source, tmp_path / "a", *OF_WEIGHTS)
    assert "holds more than weights" in told
    assert "under its name, .pkl" in told


@pytest.mark.parametrize("name", ["w.pth", "w.pkl", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04cut"])
def test_a_damaged_file_is_refused(tmp_path, capsys, name, content):
    source = tmp_path / name
    source.write_bytes(content)
    options = ["--trust-pickle"] if name == "w.pkl" else OF_WEIGHTS
    assert name in refused(capsys, source, tmp_path / "a", *options)


def test_a_file_cut_short_is_refused(squeezenet, tmp_path, capsys):
    for source in (squeezenet.weights, squeezenet.export):
        cut = tmp_path / source.name
        cut.write_bytes(source.read_bytes()[:-2000])
        options = ["--trust-pickle"] if source.suffix == ".pkl" else OF_WEIGHTS
        assert "error: " in refused(capsys, cut, tmp_path / "a", *options)


def test_a_file_of_something_else_is_refused(tmp_path, capsys):
    torch.save([1, 2], tmp_path / "w.pth")
    told = refused(capsys, tmp_path / "w.pth", tmp_path / "a", *OF_WEIGHTS)
    assert "is not a state of named tensors but a list" in told
    torch.save({"epoch": 3}, tmp_path / "learner.pkl")
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "holds a dict, not a learner of fastai" in told


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert "is no file" in refused(capsys, tmp_path / "no.pth", tmp_path / "a", *OF_WEIGHTS)


def test_a_learner_trained_in_mixed_precision_is_adopted(tmp_path, photos):
    learner = learn(photos, tmp_path)
    import fastai.callback.fp16  # noqa: F401 - gives every Learner its `to_fp16`

    learner.to_fp16()
    learner.export("learner.pkl")
    out = tmp_path / "a"
    assert adopt(tmp_path / "learner.pkl", out, "--trust-pickle", "--data", photos) == 0


def test_a_learner_that_needs_a_module_from_elsewhere_names_it(tmp_path, photos, capsys):
    import sys
    from types import ModuleType

    module = ModuleType("their_module")
    exec("class TheirMetric:\n    pass\n", module.__dict__)
    module.TheirMetric.__module__ = "their_module"
    sys.modules["their_module"] = module
    learner = learn(photos, tmp_path)
    learner.their_metric = module.TheirMetric()
    learner.export("learner.pkl")
    del sys.modules["their_module"]
    told = refused(capsys, tmp_path / "learner.pkl", tmp_path / "a", "--trust-pickle")
    assert "their_module" in told
    assert "adopt the learner in memory where it was made" in told
    assert "then adopt weights.pth" in told
