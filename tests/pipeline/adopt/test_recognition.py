from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision.models
from fastai.vision.learner import create_timm_model, create_vision_model
from fastai.vision.models import xresnet
from torch import nn

from pipeline.adopt.recognition import Recognised, recognise
from pipeline.checkpoint import open_checkpoint
from pipeline.cli.main import main
from pipeline.errors import BadInput
from pipeline.models.networks import build_network, load_network
from tests.conftest import SIDE

OF_WEIGHTS = ("--labels", "no,yes", "--mean", "0,0,0", "--std", "1,1,1", "--resize", "squish")


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return model.state_dict()


def with_statistics(model: nn.Module) -> nn.Module:
    """Batch norms that are not those of a fresh network: what is lost of them shows."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def adopt(model: nn.Module, place: Path, *options: str) -> int:
    place.mkdir(exist_ok=True)
    torch.save(model.state_dict(), place / "weights.pth")
    line = ["adopt", str(place / "weights.pth"), "--out", str(place / "a"), *OF_WEIGHTS]
    return main([*line, "--side", str(SIDE), *options])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "vgg11"])
def test_a_whole_classifier_of_torchvision_is_recognised_with_any_number_of_classes(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, num_classes=7)
    assert recognise(state_of(model)) == Recognised(name, "whole")


def test_a_fastai_learner_of_a_topology_outside_the_paper_is_recognised():
    with torch.device("meta"):
        model = create_vision_model(torchvision.models.resnet50, 3, pretrained=False)
    assert recognise(state_of(model)) == Recognised("resnet50", "fastai")


def test_an_xresnet_is_recognised():
    with torch.device("meta"):
        model = xresnet.xresnet18(n_out=3)
    assert recognise(state_of(model)) == Recognised("fastai/xresnet18", "whole")


def test_our_own_network_is_recognised_by_its_body_alone():
    with torch.device("meta"):
        model = build_network("squeezenet1_1_fire6", 2)
    assert recognise(state_of(model)) == Recognised("squeezenet1_1_fire6", "own")


def test_timms_networks_are_recognised_whole_and_from_fastai_and_the_file_may_name_them(capsys):
    name = "mobilenetv4_conv_small"
    with torch.device("meta"):
        whole = timm.create_model(name, num_classes=3)
        learners, _ = create_timm_model(name, 3, pretrained=False)
    hint = f"{name}-best"
    assert recognise(state_of(whole), hint=hint) == Recognised(f"timm/{name}", "whole")
    assert recognise(state_of(learners), hint=hint) == Recognised(f"timm/{name}", "fastai_timm")
    assert "--architecture NAME would be quicker" in capsys.readouterr().out
    assert recognise(state_of(whole), said=name) == Recognised(f"timm/{name}", "whole")
    assert capsys.readouterr().out == ""


def test_two_networks_with_the_same_tensors_are_told_apart_by_the_module_or_by_the_user():
    name = "tf_efficientnet_lite0"
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3)
    with pytest.raises(BadInput, match="pad otherwise: say which by --architecture"):
        recognise(state_of(model), hint=name)
    found = recognise(state_of(model), hint="efficientnet_lite0", model=model)
    assert found.architecture == f"timm/{name}"
    assert recognise(state_of(model), said=name).architecture == f"timm/{name}"


def test_what_is_said_is_compared_and_the_difference_told():
    with torch.device("meta"):
        model = torchvision.models.resnet18()
    with pytest.raises(BadInput, match="its body is that of resnet18, not of resnet34"):
        recognise(state_of(model), said="resnet34")
    changed = state_of(model) | {"conv1.weight": torch.empty(64, 3, 5, 5, device="meta")}
    told = (
        r"torchvision's resnet18, but for conv1.weight, \(64, 3, 5, 5\) here and "
        r"\(64, 3, 7, 7\) there$"
    )
    with pytest.raises(BadInput, match=f"it would be {told}"):
        recognise(changed, said="resnet18")
    with pytest.raises(BadInput, match=f"this looks like {told}"):
        recognise(changed)


def test_what_is_missing_and_what_is_more_is_told():
    with torch.device("meta"):
        state = dict(state_of(torchvision.models.resnet18(num_classes=4)))
    del state["layer1.0.bn1.weight"], state["layer1.0.bn1.bias"]
    state["gamma"] = torch.empty(1, device="meta")
    with pytest.raises(BadInput) as caught:
        recognise(state)
    assert str(caught.value) == (
        "this looks like torchvision's resnet18, but for 2 tensors, first layer1.0.bn1.weight, not "
        "here; gamma, not there"
    )


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_a_fastai_learner_of_a_vgg_is_recognised_with_batch_norms_or_without(name):
    with torch.device("meta"):
        model = create_vision_model(getattr(torchvision.models, name), 3, pretrained=False)
    assert recognise(state_of(model)) == Recognised(name, "fastai")


def test_a_network_of_ones_own_looks_like_none():
    own = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(BadInput) as caught:
        recognise(state_of(own))
    message = str(caught.value)
    assert "looks like no network of torchvision, fastai or timm" in message


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_a_whole_classifier_is_adopted_with_its_own_outputs(name, tmp_path):
    model = with_statistics(torchvision.models.get_model(name, num_classes=2))
    assert adopt(model, tmp_path) == 0
    adopted = load_network(open_checkpoint(tmp_path / "a"))
    pixels = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = model(pixels)
        assert torch.allclose(adopted(pixels), expected, atol=1e-5 * expected.abs().max().item())


def test_a_learner_of_timm_is_adopted_from_its_weights(tmp_path):
    model, _ = create_timm_model("lcnet_035", 2, pretrained=False)
    with_statistics(model)
    assert adopt(model, tmp_path, "--architecture", "lcnet_035") == 0
    opened = open_checkpoint(tmp_path / "a")
    assert opened.spec.architecture == "timm/lcnet_035"
    pixels = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(load_network(opened)(pixels), model(pixels), atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1"])
def test_a_classifier_of_several_layers_is_kept_as_a_program_with_its_own_outputs(
    name, tmp_path, capsys
):
    model = with_statistics(torchvision.models.get_model(name, num_classes=2))
    assert adopt(model, tmp_path) == 0
    assert f"this is torchvision's {name}, whole" in capsys.readouterr().out
    opened = open_checkpoint(tmp_path / "a")
    assert opened.spec.architecture == f"program/{name}"
    assert opened.spec.name == f"{name}_weights"
    pixels = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(load_network(opened)(pixels), model(pixels), atol=1e-5)


def test_weights_that_are_no_networks_are_refused_with_a_way_that_works(tmp_path, capsys):
    assert adopt(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)), tmp_path) == 2
    told = capsys.readouterr().err
    assert "no known body" in told
    assert "adopt the file of `learn.export` with --trust-pickle" in told
    assert not (tmp_path / "a").exists()


def test_weights_of_one_channel_are_those_of_a_network_of_three(tmp_path, capsys):
    torch.manual_seed(0)
    model = create_vision_model(torchvision.models.resnet18, 2, pretrained=False, n_in=1)
    with_statistics(model)
    place = tmp_path / "given"
    assert adopt(model, place, "--mean", "0.2,0.3,0.4") == 2
    assert "its number is to be given three times" in capsys.readouterr().err
    assert adopt(model, place) == 0
    assert "turned to grey as Pillow does" in capsys.readouterr().out
    opened = open_checkpoint(place / "a")
    assert opened.spec.architecture == "resnet18"
    grey = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        found = load_network(opened)(grey.expand(-1, 3, -1, -1))
        assert torch.allclose(found, model(grey), atol=1e-4)
