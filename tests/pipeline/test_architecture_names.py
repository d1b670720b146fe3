from __future__ import annotations

from importlib.util import find_spec

import pytest

from pipeline import architecture_names
from pipeline.architecture_names import ARCHITECTURES, canonical, identifier, listed
from pipeline.config import TrainConfig
from pipeline.errors import BadInput, MissingDependency


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.errors.find_spec", lambda name: None if name == "timm" else find_spec(name)
    )
    architecture_names._names.cache_clear()
    yield
    architecture_names._names.cache_clear()


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("squeezenet1_1_fire6", "squeezenet1_1_fire6"),
        ("resnet18", "resnet18"),  # of torchvision, although timm has one too
        ("torchvision/resnet18", "resnet18"),
        ("timm/resnet18", "timm/resnet18"),
        ("xresnet18", "fastai/xresnet18"),
        ("resnet18d", "timm/resnet18d"),
        ("resnet18.a1_in1k", "timm/resnet18.a1_in1k"),  # timm's tag says which weights
    ],
)
def test_a_name_has_one_spelling(text, spelled):
    assert canonical(text) == spelled
    assert canonical(spelled) == spelled
    assert TrainConfig(architecture=text).architecture == spelled


@pytest.mark.parametrize(
    "text", ["resnet9000", "resnet18.of_mine", "timm/nothing", "hub/resnet18", "xresnet19", ""]
)
def test_a_name_that_nothing_has_is_refused(text):
    with pytest.raises(BadInput, match="unknown architecture"):
        canonical(text)


def test_near_names_are_asked_for():
    with pytest.raises(BadInput, match=r"did you mean .*mobilenet_v3_small.*\?"):
        canonical("mobilenetv3_smal")
    with pytest.raises(BadInput, match=r"did you mean .*resnet34"):
        canonical("ResNet34")


@pytest.mark.usefixtures("no_timm")
def test_without_timm_its_names_are_refused_with_the_command_that_brings_them():
    with pytest.raises(MissingDependency, match=r"timm/resnet18d needs timm.*\.\[timm\]"):
        canonical("timm/resnet18d")
    with pytest.raises(BadInput, match=r"timm is not installed: .*\.\[timm\]"):
        canonical("resnet18d")
    assert not [name for name in listed() if name.startswith("timm/")]


def test_the_list_has_every_library_and_a_pattern_or_a_part_chooses_from_it():
    names = listed()
    assert set(ARCHITECTURES) <= set(names)
    assert len(names) == len(set(names)) > 1000
    assert listed("shufflenet_v2_x1_0") == ["shufflenet_v2_x1_0"]
    assert listed("xresnet18*") == [
        "fastai/xresnet18", "fastai/xresnet18_deep", "fastai/xresnet18_deeper",
    ]  # fmt: skip
    assert listed("nothing at all") == []


def test_a_name_may_stand_in_a_file_name():
    assert identifier("timm/resnet18.a1_in1k") == "timm_resnet18_a1_in1k"
    assert identifier("squeezenet1_1") == "squeezenet1_1"
