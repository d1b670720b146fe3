from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models import get_model, squeezenet1_1
from torchvision.models.resnet import BasicBlock, Bottleneck

from pipeline.checkpoint import open_checkpoint, write_checkpoint
from pipeline.errors import BadInput
from pipeline.model_spec import Head
from pipeline.models.bodies import base, library_names
from pipeline.models.networks import NETWORKS, build_network, load_network
from tests.conftest import SIDE, make_spec, write_network


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_squeezenet_with_two_classes_has_723522_parameters():
    network = build_network("squeezenet1_1", 2)
    assert parameters(network) == 723_522
    assert parameters(network) == parameters(network.body) + parameters(network.head)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(("classes", "side"), [(2, 64), (5, 96)])
def test_every_network_gives_a_logit_per_class(architecture, classes, side):
    with torch.device("meta"):  # shapes alone
        logits = build_network(architecture, classes).eval()(torch.zeros(3, 3, side, side))
    assert logits.shape == (3, classes)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("architecture", NETWORKS)
def test_every_network_is_a_body_and_a_head_and_nothing_else(architecture):
    with torch.device("meta"):
        network = build_network(architecture, 2)
    assert {name for name, _ in network.named_children()} == {"body", "head"}


def test_the_smallest_side_allowed_still_gives_logits():
    with torch.no_grad():
        assert build_network("squeezenet1_1", 2).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_a_logit_can_be_negative():
    network = build_network("squeezenet1_1", 2).eval()
    with torch.no_grad():
        network.head[1].weight.zero_()
        network.head[1].bias.copy_(torch.tensor([-5.0, 3.0]))
        logits = network(torch.randn(2, 3, SIDE, SIDE))
    assert torch.allclose(logits, torch.tensor([[-5.0, 3.0]] * 2))


def test_a_freshly_made_head_has_no_opinion():
    network = build_network("squeezenet1_1", 3).eval()
    assert torch.all(network.head[1].bias == 0)
    assert network.head[1].weight.std().item() == pytest.approx(0.01, rel=0.2)


def test_squeezenet_is_torchvisions_but_for_the_last_relu():
    original = squeezenet1_1(weights=None, num_classes=4).eval()
    network = build_network("squeezenet1_1", 4).eval()
    network.body.load_state_dict(original.features.state_dict())
    network.head[1].load_state_dict(original.classifier[1].state_dict())
    original.classifier[2] = torch.nn.Identity()
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(network(pixels), original(pixels), atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "classifier"), [("resnet34", "fc"), ("densenet169", "classifier")]
)
def test_a_convolution_before_the_pool_is_torchvisions_linear_layer_after_it(
    architecture, classifier
):
    original = get_model(architecture, weights=None, num_classes=4).eval()
    network = build_network(architecture, 4).eval()
    state = original.state_dict()
    names = library_names(architecture)
    network.body.load_state_dict({name: state[theirs] for name, theirs in names.items()})
    linear = getattr(original, classifier)
    with torch.no_grad():
        network.head[1].weight.copy_(linear.weight[:, :, None, None])
        network.head[1].bias.copy_(linear.bias)
        pixels = torch.randn(2, 3, SIDE, SIDE)
        logits = network(pixels)
        assert torch.allclose(logits, original(pixels), atol=1e-5 * logits.abs().max().item())
        assert torch.allclose(network.evidence(pixels).mean((2, 3)), logits)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_body_is_that_of_torchvisions_file(architecture):
    with torch.device("meta"):
        names = build_network(architecture, 2).body.state_dict()
        whole = get_model(base(architecture), weights=None).state_dict()
    theirs = library_names(architecture)
    prefix = "" if architecture.startswith("resnet") else "features."
    assert theirs == {name: prefix + name for name in names}
    assert {theirs[name]: t.shape for name, t in names.items()}.items() <= {
        name: t.shape for name, t in whole.items()
    }.items()


@pytest.mark.parametrize("architecture", ["resnet34", "resnet152"])
def test_each_residual_branch_starts_as_zero(architecture):
    blocks = [
        module
        for module in build_network(architecture, 2).eval().modules()
        if isinstance(module, BasicBlock | Bottleneck) and module.downsample is None
    ]
    assert len(blocks) == {"resnet34": 13, "resnet152": 46}[architecture]
    with torch.no_grad():
        for block in blocks:
            channels = block.conv1.in_channels
            features = torch.rand(1, channels, 4, 4)  # behind a ReLU
            assert torch.equal(block(features), features)


def test_dropout_works_while_training_and_not_after():
    network = build_network("squeezenet1_1", 2)
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert not torch.equal(network(pixels), network(pixels))
        network.eval()
        assert torch.equal(network(pixels), network(pixels))


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match=r"unknown architecture 'resnet9000'.*squeezenet1_1"):
        build_network("resnet9000", 2)


def test_an_unknown_architecture_of_a_checkpoint_is_refused(checkpoint):
    opened = open_checkpoint(checkpoint)
    with pytest.raises(BadInput, match="unknown architecture"):
        load_network(replace(opened, spec=make_spec(architecture="resnet9000")))


def test_a_loaded_network_gives_the_outputs_of_the_one_that_was_written(tmp_path):
    folder = write_network(tmp_path / "c", make_spec(), seed=3)
    loaded = load_network(open_checkpoint(folder))
    assert not loaded.training
    state = loaded.state_dict()
    with torch.no_grad():
        logits = loaded(torch.zeros(1, 3, SIDE, SIDE))
    assert torch.allclose(logits, torch.zeros(1, 2), atol=1e-4)  # centred so by write_network
    other = load_network(open_checkpoint(write_network(tmp_path / "d", make_spec(), seed=4)))
    assert not torch.equal(state["body.0.weight"], other.state_dict()["body.0.weight"])


# --- the head of an adopted learner


@pytest.mark.parametrize("architecture", ["squeezenet1_1", "densenet169"])
@pytest.mark.parametrize("head", [Head("concat_pool", (16,)), Head("average_pool", ())], ids=str)
def test_a_pooled_network_is_a_body_and_a_head_and_gives_a_logit_per_class(architecture, head):
    network = build_network(architecture, 3, head).eval()
    assert {name for name, _ in network.named_children()} == {"body", "head"}
    with torch.no_grad():
        assert network(torch.zeros(2, 3, SIDE, SIDE)).shape == (2, 3)


@pytest.mark.parametrize(("architecture", "negative"), [("densenet169", True), ("resnet34", False)])
def test_fastais_body_of_a_densenet_has_no_last_relu(architecture, negative):
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        pooled = build_network(architecture, 2, Head("concat_pool", ())).body(pixels)
        plain = build_network(architecture, 2).body(pixels)
    assert bool((pooled < 0).any()) is negative
    assert not (plain < 0).any()


def test_both_bodies_have_the_same_names():
    for architecture in NETWORKS:
        with torch.device("meta"):
            plain = build_network(architecture, 2).body.state_dict()
            pooled = build_network(architecture, 2, Head("concat_pool", ())).body.state_dict()
        assert plain.keys() == pooled.keys()


def test_a_pooled_network_is_loaded_with_the_head_that_its_checkpoint_states(tmp_path):
    spec = make_spec(head=Head("concat_pool", (16, 5)))
    network = build_network(spec.architecture, 2, spec.head).eval()
    write_checkpoint(tmp_path, spec, network.state_dict())
    opened = open_checkpoint(tmp_path)
    loaded = load_network(opened)
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(loaded(pixels), network(pixels))
    with pytest.raises(BadInput, match="do not fit squeezenet1_1 with 2 labels"):
        load_network(replace(opened, spec=make_spec(head=Head("concat_pool", (16, 6)))))
