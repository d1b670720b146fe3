from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from pipeline.checkpoint import (
    OWNER_FILE,
    RELEASED,
    SPEC_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    open_checkpoint,
    write_checkpoint,
)
from pipeline.errors import BadInput
from pipeline.model_spec import Compression, Example, Head, ModelSpec, Owner
from pipeline.models.networks import build_network, load_network
from pipeline.quantization_grid import Grid
from pipeline.resize.rule import Resize
from tests.conftest import LABELS, make_spec

SQUISH = {"mode": "squish", "filter": "bilinear", "antialias": True}
WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([-1.5])}


def write(folder: Path, spec: ModelSpec | None = None, weights: dict | None = None) -> Path:
    """A checkpoint with two tensors, which is all that this module needs."""
    folder.mkdir(parents=True)
    write_checkpoint(folder, spec or make_spec(), WEIGHTS if weights is None else weights)
    return folder


def change(folder: Path, **fields: Any) -> Path:
    """Put other values into the JSON."""
    path = folder / SPEC_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def test_a_spec_comes_back_equal(tmp_path):
    spec = make_spec(
        training={"seed": 2, "initial_weights": "random"},
        data={"name": "xrays", "images": {"train": {"covid19": 3}}},
        tools={"torch": "2.12"},
    )
    assert open_checkpoint(write(tmp_path / "c", spec)).spec == spec


def test_a_spec_of_three_labels_comes_back_equal(tmp_path):
    spec = make_spec(labels=("ä b", "c,d", "e"), positive=None, threshold=None)
    assert open_checkpoint(write(tmp_path / "c", spec)).spec == spec


RULES = [
    Resize(64, 64, "crop"),
    Resize(48, 64, "pad", "border"),
    Resize(64, 64, margin=16),
    Resize(40, 64),
    Resize(96, 33, "centre", "zeros"),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_spec_of_another_resize_comes_back_equal(tmp_path, rule):
    spec = make_spec(resize=rule)
    folder = write(tmp_path / "c", spec)
    assert open_checkpoint(folder).spec == spec
    document = json.loads((folder / SPEC_FILE).read_text())
    assert document["schema"] == 4
    for schema in (1, 2, 3):  # whose readers know squished squares alone
        with pytest.raises(BadInput, match="damaged"):
            open_checkpoint(change(folder, schema=schema))


def test_of_a_squished_square_the_document_is_what_it_was(tmp_path):
    document = json.loads((write(tmp_path / "c") / SPEC_FILE).read_text())
    assert document["schema"] == 1
    assert document["side"] == 64
    assert document["resize"] == {"mode": "squish", "filter": "bilinear", "antialias": True}


def test_the_released_checkpoint_is_written_again_to_the_same_bytes(tmp_path):
    released = open_checkpoint(RELEASED)
    for checkpoint in (released, *(released.variant(p) for p in ("int8", "w4", "w3"))):
        folder = tmp_path / checkpoint.sha256
        folder.mkdir()
        weights = {**checkpoint.weights()}
        again = write_checkpoint(folder, checkpoint.spec, weights, checkpoint.grids())
        assert again.sha256 == checkpoint.sha256


def test_a_side_of_json_that_is_a_whole_number_with_a_fraction_is_read(tmp_path):
    assert open_checkpoint(change(write(tmp_path / "c"), side=64.0)).spec.side == 64


def test_weights_come_back_equal(checkpoint):
    weights = open_checkpoint(checkpoint).weights()
    assert len(weights) == 52
    torch.manual_seed(0)
    fresh = build_network("squeezenet1_1", 2).state_dict()
    assert weights.keys() == fresh.keys()
    assert torch.equal(weights["body.0.weight"], fresh["body.0.weight"])


def test_a_checkpoint_is_two_files_and_neither_is_a_pickle(checkpoint):
    assert sorted(path.name for path in checkpoint.iterdir()) == [SPEC_FILE, WEIGHTS_FILE]
    content = (checkpoint / WEIGHTS_FILE).read_bytes()
    header_bytes = int.from_bytes(content[:8], "little")  # the safetensors format: size, then JSON
    assert len(json.loads(content[8 : 8 + header_bytes])) == 52
    assert not content.startswith((b"\x80", b"PK"))


def test_the_json_says_what_the_weights_are(checkpoint):
    content = (checkpoint / WEIGHTS_FILE).read_bytes()
    assert json.loads((checkpoint / SPEC_FILE).read_text())["weights"] == {
        "file": WEIGHTS_FILE,
        "parameters": 723_522,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }


def test_the_json_is_sorted_and_ends_with_a_newline(checkpoint):
    text = (checkpoint / SPEC_FILE).read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_the_same_weights_give_the_same_bytes(tmp_path):
    first = write(tmp_path / "first")
    reverse = write(tmp_path / "reverse", weights=dict(reversed(WEIGHTS.items())))
    for name in (SPEC_FILE, WEIGHTS_FILE):
        assert (first / name).read_bytes() == (reverse / name).read_bytes()


def test_the_memory_layout_of_the_weights_does_not_show_in_the_bytes(tmp_path):
    kernel = torch.arange(2.0 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    plain = write(tmp_path / "plain", weights={"kernel": kernel})
    last = kernel.to(memory_format=torch.channels_last)
    channels_last = write(tmp_path / "last", weights={"kernel": last})
    assert last.stride() != kernel.stride()
    assert torch.equal(open_checkpoint(channels_last).weights()["kernel"], kernel)
    assert open_checkpoint(channels_last).sha256 == open_checkpoint(plain).sha256


def test_what_is_returned_is_the_checkpoint_as_it_is_opened(tmp_path):
    (tmp_path / "c").mkdir()
    written = write_checkpoint(tmp_path / "c", make_spec(), WEIGHTS)
    opened = open_checkpoint(tmp_path / "c")
    assert written == opened
    assert written.spec == opened.spec


def test_the_identity_changes_with_one_labels_name_and_with_one_weight(tmp_path):
    changed = {name: tensor.clone() for name, tensor in WEIGHTS.items()}
    changed["b"][0] = torch.nextafter(changed["b"][0], torch.tensor(0.0))
    identities = {
        open_checkpoint(folder).sha256
        for folder in (
            write(tmp_path / "first"),
            write(tmp_path / "label", make_spec(labels=("covid19", "non_covid20"))),
            write(tmp_path / "order", make_spec(labels=LABELS[::-1])),
            write(tmp_path / "threshold", make_spec(threshold=0.41)),
            write(tmp_path / "weight", weights=changed),
        )
    }
    assert len(identities) == 5


def test_a_figure_that_is_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path / "c", make_spec(metrics={"auroc": float("nan")}))
    assert list((tmp_path / "c").iterdir()) == []


def test_a_missing_folder_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(BadInput, match=r"no checkpoint at .*missing"):
        open_checkpoint(tmp_path / "missing")
    with pytest.raises(BadInput, match="python -m pipeline train"):
        open_checkpoint(tmp_path / "missing")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(BadInput, match="no checkpoint at"):
        open_checkpoint(tmp_path / "model.onnx")


@pytest.mark.parametrize("text", ["", "{", "not json", '{"schema": 1,}', "\ufeff{}", b"\xff\xfe{"])
def test_what_is_not_json_is_refused(tmp_path, text):
    folder = write(tmp_path / "c")
    (folder / SPEC_FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=rf"{SPEC_FILE} is not JSON"):
        open_checkpoint(folder)


@pytest.mark.parametrize("document", ["[]", "null", '"text"', "{}", '{"schema": "1"}'])
def test_json_of_something_else_is_refused(tmp_path, document):
    folder = write(tmp_path / "c")
    (folder / SPEC_FILE).write_text(document)
    with pytest.raises(BadInput, match=r"has schema|is not a JSON object"):
        open_checkpoint(folder)


def test_another_schema_is_refused_with_both_numbers(tmp_path):
    folder = change(write(tmp_path / "c"), schema=99)
    with pytest.raises(BadInput, match="has schema 99, this version reads 1"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["labels", "threshold", "resize", "intended_use", "data"])
def test_a_missing_field_is_named(tmp_path, name):
    folder = write(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())
    del document[name]
    (folder / SPEC_FILE).write_text(json.dumps(document))
    with pytest.raises(BadInput, match=f"'{name}' is a required property"):
        open_checkpoint(folder)


CONTRADICTIONS = {
    "threshold without positive": ({"positive": None}, "a threshold needs a positive label"),
    "positive without threshold": ({"threshold": None}, "a threshold needs a positive label"),
    "threshold 0": ({"threshold": 0}, r"damaged at \$\.threshold"),
    "threshold 1": ({"threshold": 1.0}, r"damaged at \$\.threshold"),
    "positive unknown": ({"positive": "flu"}, "'flu' is not among the labels"),
    "duplicate labels": ({"labels": ["covid19", "covid19"]}, r"damaged at \$\.labels"),
    "one label": ({"labels": ["covid19"]}, r"damaged at \$\.labels"),
    "labels no list": ({"labels": "covid19"}, r"damaged at \$\.labels"),
    "mean no list": ({"mean": None}, r"damaged at \$\.mean"),
    "two means": ({"mean": [0.5, 0.5]}, r"damaged at \$\.mean"),
    "std 0": ({"std": [0.2, 0, 0.2]}, r"damaged at \$\.std"),
    "side too small": ({"side": 31}, r"damaged at \$\.side"),
    "side too large": ({"side": 1025}, r"damaged at \$\.side"),
    "side no integer": ({"side": 64.5}, r"damaged at \$\.side"),
    "side of three": ({"side": [64, 64, 64], "schema": 4}, r"damaged at \$\.side"),
    "height too small": ({"side": [31, 64], "schema": 4}, r"damaged at \$\.side"),
    "fill of a squish": ({"resize": {**SQUISH, "fill": "zeros"}}, "resize squish with fill"),
    "pad without fill": ({"resize": {**SQUISH, "mode": "pad"}, "schema": 4}, "resize pad with"),
    "margin of a crop": (
        {"resize": {**SQUISH, "mode": "crop", "margin": 8}, "schema": 4},
        "resize crop with margin 8",
    ),
    "resize": ({"resize": {"mode": "crop"}}, r"damaged at \$\.resize"),
    "name with a path": ({"name": "../tiny"}, r"damaged at \$\.name"),
    "name empty": ({"name": ""}, r"damaged at \$\.name"),
    "name not ascii": ({"name": "winzig_ä"}, r"damaged at \$\.name"),
}


@pytest.mark.parametrize(("fields", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_spec_that_contradicts_itself_is_refused(tmp_path, fields, message):
    folder = change(write(tmp_path / "c"), **fields)
    with pytest.raises(BadInput, match=message) as caught:
        open_checkpoint(folder)
    assert SPEC_FILE in str(caught.value)


WRONG_TYPES: list[dict[str, Any]] = [
    {"name": 5},
    {"labels": [1, 2], "positive": None, "threshold": None},
    {"labels": [["a"], ["b"]], "positive": None, "threshold": None},
    {"labels": ["", "covid19"]},
    {"labels": ["a", "b", "covid19"]},  # a positive label of three
    {"threshold": "0.4"},
    {"mean": ["a", "b", "c"]},
    {"mean": [float("nan")] * 3},
    {"std": ["a", "b", "c"]},
    {"std": [1, float("nan"), 1]},
    {"resize": None},
    {"metrics": []},
    {"architecture": ["squeezenet1_1"]},
]


@pytest.mark.parametrize("fields", WRONG_TYPES, ids=str)
def test_a_field_of_another_type_is_refused(tmp_path, fields):
    with pytest.raises(BadInput):
        open_checkpoint(change(write(tmp_path / "c"), **fields))


@pytest.mark.parametrize("value", [None, [], "text"])
def test_a_json_whose_weights_entry_is_no_object_is_refused(tmp_path, value):
    with pytest.raises(BadInput):
        open_checkpoint(change(write(tmp_path / "c"), weights=value)).weights()


def test_one_damaged_byte_of_a_tensor_is_found(tmp_path):
    folder = write(tmp_path / "c")
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{WEIGHTS_FILE} is damaged or of another checkpoint"):
        open_checkpoint(folder).weights()


def test_the_weights_of_another_checkpoint_are_refused(tmp_path):
    folder = write(tmp_path / "c")
    other = write(tmp_path / "other", weights={"b": torch.zeros(1)})
    shutil.copy(other / WEIGHTS_FILE, folder)
    with pytest.raises(BadInput, match="of another checkpoint"):
        open_checkpoint(folder).weights()


@pytest.mark.parametrize("kept", [0, 4, 8, 50, -1])
def test_truncated_weights_are_refused(tmp_path, kept):
    folder = write(tmp_path / "c")
    content = (folder / WEIGHTS_FILE).read_bytes()[:kept]
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        open_checkpoint(folder).weights()


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_what_is_not_safetensors_is_refused_even_with_the_right_hash(tmp_path, content):
    folder = write(tmp_path / "c")
    (folder / WEIGHTS_FILE).write_bytes(content)
    entry = json.loads((folder / SPEC_FILE).read_text())["weights"]
    change(folder, weights={**entry, "sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(BadInput, match="is not a safetensors file"):
        open_checkpoint(folder).weights()


def test_missing_weights_are_refused(tmp_path):
    folder = write(tmp_path / "c")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(BadInput, match=rf"{WEIGHTS_FILE} cannot be read: No such file"):
        open_checkpoint(folder).weights()


def test_a_label_count_that_does_not_fit_the_weights_is_refused(tmp_path, checkpoint):
    folder = tmp_path / "c"
    shutil.copytree(checkpoint, folder)
    change(folder, labels=["a", "b", "c"], positive=None, threshold=None)
    with pytest.raises(BadInput, match=r"do not fit squeezenet1_1 with 3 labels: .*size mismatch"):
        load_network(open_checkpoint(folder))


def test_the_positive_index_follows_the_order_of_the_labels():
    assert make_spec().positive_index == 0
    assert make_spec(positive="non_covid19").positive_index == 1
    assert make_spec(positive=None, threshold=None).positive_index is None


# --- compressed checkpoints


GRIDS = {
    "a.weight": Grid(
        np.array([[-3, 0, 1], [2, 3, -1]], np.int8), np.array([0.25, 0.0390625], np.float32), 3
    ),
    "c.weight": Grid(
        np.arange(-8, 8, dtype=np.int8).reshape(4, 1, 2, 2) * 15,
        np.array([0.5, 0.25, 0.125, 0.0625], np.float32),
        127,
    ),
}
BIAS = torch.tensor([-1.5])
COMPRESSION = Compression(
    precision="w3",
    parent_sha256="0123456789abcdef" * 4,
    levels={name: grid.levels for name, grid in GRIDS.items()},
    activations={"activation_post_process_0": (0.1, 128), "activation_post_process_2": (0.25, 0)},
    comparison={"auroc": 0.9, "auroc_drop": {"value": 0.0}, "broken_limits": []},
)


PLAIN_SHA256 = "a6ac15474e7a51adf42a8ad64e2ee770cefabbabddfc324def2273b1f3d86394"


def write_compressed(folder: Path, compression: Compression = COMPRESSION) -> Path:
    folder.mkdir(parents=True)
    weights = {name: torch.from_numpy(grid.weights()) for name, grid in GRIDS.items()}
    spec = make_spec(compression=compression)
    write_checkpoint(folder, spec, {**weights, "b": BIAS}, GRIDS)
    return folder


def change_tensors(folder: Path, change_them: Any) -> Path:
    """Write other tensors, and their hash into the JSON: a file that is whole, and wrong."""
    tensors = load((folder / WEIGHTS_FILE).read_bytes())
    change_them(tensors)
    content = save(tensors)
    (folder / WEIGHTS_FILE).write_bytes(content)
    entry = json.loads((folder / SPEC_FILE).read_text())["weights"]
    return change(folder, weights={**entry, "sha256": hashlib.sha256(content).hexdigest()})


def test_a_compressed_spec_comes_back_equal(tmp_path):
    spec = open_checkpoint(write_compressed(tmp_path / "c")).spec
    assert spec == make_spec(compression=COMPRESSION)
    assert spec.compression is not None
    assert spec.compression.activations["activation_post_process_0"] == (0.1, 128)


def test_grids_come_back_equal(tmp_path):
    grids = open_checkpoint(write_compressed(tmp_path / "c")).grids()
    assert list(grids) == list(GRIDS)
    for name, grid in GRIDS.items():
        assert grids[name].codes.dtype == np.int8
        assert grids[name].scale.dtype == np.float32
        assert np.array_equal(grids[name].codes, grid.codes)
        assert np.array_equal(grids[name].scale, grid.scale)
        assert grids[name].levels == grid.levels


def test_the_weights_read_are_exactly_what_the_grids_stand_for(tmp_path):
    weights = open_checkpoint(write_compressed(tmp_path / "c")).weights()
    assert weights.keys() == {"a.weight", "c.weight", "b"}
    for name, grid in GRIDS.items():
        assert torch.equal(weights[name], torch.from_numpy(grid.weights()))
        assert weights[name].dtype == torch.float32
    assert torch.equal(weights["b"], BIAS)
    assert weights["a.weight"][0].tolist() == [-0.75, 0.0, 0.25]


def test_a_compressed_file_holds_codes_and_scales_and_no_weight_twice(tmp_path):
    folder = write_compressed(tmp_path / "c")
    tensors = load((folder / WEIGHTS_FILE).read_bytes())
    assert {name: str(tensor.dtype) for name, tensor in tensors.items()} == {
        "a.weight.codes": "torch.int8",
        "a.weight.scale": "torch.float32",
        "c.weight.codes": "torch.int8",
        "c.weight.scale": "torch.float32",
        "b": "torch.float32",
    }


def test_a_compressed_checkpoint_has_schema_2_and_counts_weights_not_codes(tmp_path):
    document = json.loads((write_compressed(tmp_path / "c") / SPEC_FILE).read_text())
    assert document["schema"] == 2
    assert document["weights"]["parameters"] == 6 + 16 + 1


def test_a_plain_checkpoint_is_written_as_before_there_were_compressed_ones(tmp_path):
    folder = write(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())
    assert document["schema"] == 1
    assert "compression" not in document
    # The identity that the version before compression gave this very checkpoint.
    assert open_checkpoint(folder).sha256 == PLAIN_SHA256
    assert open_checkpoint(folder).grids() == {}
    assert open_checkpoint(folder).spec.compression is None


def test_the_same_grids_give_the_same_bytes(tmp_path):
    first, again = write_compressed(tmp_path / "first"), write_compressed(tmp_path / "again")
    for name in (SPEC_FILE, WEIGHTS_FILE):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_the_identity_changes_with_one_activations_scale(tmp_path):
    other = {**COMPRESSION.activations, "activation_post_process_2": (0.26, 0)}
    identities = {
        open_checkpoint(write_compressed(tmp_path / "first")).sha256,
        open_checkpoint(
            write_compressed(tmp_path / "other", replace(COMPRESSION, activations=other))
        ).sha256,
    }
    assert len(identities) == 2


def test_schema_2_without_compression_is_refused(tmp_path):
    folder = change(write(tmp_path / "c"), schema=2)
    with pytest.raises(BadInput, match=r"'compression' is a required property; train or copy"):
        open_checkpoint(folder)


@pytest.mark.parametrize("compression", [asdict(COMPRESSION), None], ids=["whole", "null"])
def test_schema_1_with_compression_is_refused(tmp_path, compression):
    folder = change(write(tmp_path / "c"), compression=compression)
    with pytest.raises(BadInput, match=rf"{SPEC_FILE} is damaged at .*; train or copy it again"):
        open_checkpoint(folder)


def test_a_compressed_checkpoint_that_calls_itself_plain_is_refused(tmp_path):
    folder = change(write_compressed(tmp_path / "c"), schema=1)
    with pytest.raises(BadInput, match="is damaged at"):
        open_checkpoint(folder)


WRONG_COMPRESSIONS: dict[str, dict[str, Any]] = {
    "no parent": {"parent_sha256": None},
    "a short hash": {"parent_sha256": "0123"},
    "no precision": {"precision": ""},
    "no levels": {"levels": {}},
    "levels 0": {"levels": {"a.weight": 0}},
    "levels 128": {"levels": {"a.weight": 128}},
    "levels no integer": {"levels": {"a.weight": 3.5}},
    "scale 0": {"activations": {"p": [0, 128]}},
    "zero point 256": {"activations": {"p": [0.1, 256]}},
    "zero point negative": {"activations": {"p": [0.1, -1]}},
    "no zero point": {"activations": {"p": [0.1]}},
    "three numbers": {"activations": {"p": [0.1, 1, 1]}},
    "an unknown field": {"sparsity": 0.5},
}


@pytest.mark.parametrize("fields", WRONG_COMPRESSIONS.values(), ids=WRONG_COMPRESSIONS)
def test_a_compression_that_cannot_be_is_refused(tmp_path, fields):
    folder = write_compressed(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())["compression"]
    change(folder, compression={**document, **fields})
    with pytest.raises(BadInput, match=r"is damaged at \$\.compression"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["precision", "parent_sha256", "levels", "activations"])
def test_a_missing_part_of_the_compression_is_named(tmp_path, name):
    folder = write_compressed(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())["compression"]
    del document[name]
    with pytest.raises(BadInput, match=f"'{name}' is a required property"):
        open_checkpoint(change(folder, compression=document))


@pytest.mark.parametrize("name", ["a.weight.codes", "a.weight.scale"])
def test_a_grid_without_its_codes_or_scale_is_refused_with_the_way_out(tmp_path, name):
    folder = change_tensors(write_compressed(tmp_path / "c"), lambda tensors: tensors.pop(name))
    for read in (Checkpoint.grids, Checkpoint.weights):
        with pytest.raises(BadInput, match=f"{WEIGHTS_FILE} lacks '{name}'; compress again"):
            read(open_checkpoint(folder))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.weight.codes", torch.int32),
        ("a.weight.codes", torch.uint8),
        ("a.weight.codes", torch.float32),
        ("a.weight.scale", torch.float64),
        ("a.weight.scale", torch.float16),
        ("a.weight.scale", torch.bfloat16),  # which numpy does not know
    ],
)
def test_codes_or_scales_of_another_type_are_refused(tmp_path, name, dtype):
    folder = write_compressed(tmp_path / "c")
    change_tensors(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    for read in (Checkpoint.grids, Checkpoint.weights):
        with pytest.raises(BadInput, match=r"a\.weight is not int8 codes and float32 scale"):
            read(open_checkpoint(folder))


WRONG_TENSORS: dict[str, tuple[str, torch.Tensor, str]] = {
    "a code beyond": (
        "a.weight.codes",
        torch.tensor([[-3, 0, 4], [2, 3, -1]], dtype=torch.int8),
        "beyond the 3 levels",
    ),
    "a row too many": (
        "a.weight.codes",
        torch.zeros(3, 3, dtype=torch.int8),
        "do not fit",
    ),
    "a scale too long": ("a.weight.scale", torch.tensor([0.25, 0.1]), "significant bits"),
    "a negative scale": ("a.weight.scale", torch.tensor([0.25, -0.5]), "not a number of at least"),
    "a scale that is NaN": (
        "a.weight.scale",
        torch.tensor([0.25, float("nan")]),
        "not a number of at least",
    ),
}


@pytest.mark.parametrize(("name", "tensor", "message"), WRONG_TENSORS.values(), ids=WRONG_TENSORS)
def test_a_grid_that_is_none_is_refused_by_file_and_name(tmp_path, name, tensor, message):
    folder = write_compressed(tmp_path / "c")
    change_tensors(folder, lambda tensors: tensors.update({name: tensor}))
    for read in (Checkpoint.grids, Checkpoint.weights):
        with pytest.raises(BadInput, match=rf"{WEIGHTS_FILE}: a\.weight: .*{message}"):
            read(open_checkpoint(folder))


def test_levels_that_the_codes_do_not_keep_are_refused(tmp_path):
    folder = write_compressed(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())["compression"]
    change(folder, compression={**document, "levels": {**document["levels"], "a.weight": 2}})
    with pytest.raises(BadInput, match="a code is beyond the 2 levels of its grid"):
        open_checkpoint(folder).grids()


@pytest.mark.parametrize("place", [-1, 300])
def test_one_changed_byte_of_a_compressed_checkpoint_is_found(tmp_path, place):
    folder = write_compressed(tmp_path / "c")
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[place] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    for read in (Checkpoint.grids, Checkpoint.weights):
        with pytest.raises(BadInput, match=r"is damaged or of another checkpoint.*copy the folder"):
            read(open_checkpoint(folder))


def test_levels_written_as_a_float_are_an_integer_again(tmp_path):
    folder = write_compressed(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())["compression"]
    change(folder, compression={**document, "levels": {**document["levels"], "a.weight": 3.0}})
    assert open_checkpoint(folder).grids()["a.weight"].bits == 3


def test_a_tensor_of_a_plain_checkpoint_may_be_called_scale(tmp_path):
    weights = {"norm.scale": torch.ones(2), "book.codes": torch.zeros(3)}
    assert (
        open_checkpoint(write(tmp_path / "c", weights=weights)).weights().keys() == weights.keys()
    )


def test_codes_that_no_levels_speak_of_are_not_passed_over(tmp_path):
    folder = write_compressed(tmp_path / "c")
    document = json.loads((folder / SPEC_FILE).read_text())["compression"]
    change(folder, compression={**document, "levels": {"a.weight": 3}})
    assert "c.weight.codes" in open_checkpoint(folder).weights()  # which no network takes


# --- another head


def test_a_head_is_written_and_read_back(tmp_path):
    head = Head("concat_pool", (512, 64))
    folder = write(tmp_path / "c", make_spec(head=head))
    assert json.loads((folder / SPEC_FILE).read_text())["schema"] == 3
    assert open_checkpoint(folder).spec.head == head


def test_a_compressed_checkpoint_keeps_its_head(tmp_path):
    spec = make_spec(head=Head("average_pool", ()), compression=COMPRESSION)
    folder = write(tmp_path / "c", spec)
    assert json.loads((folder / SPEC_FILE).read_text())["schema"] == 3
    assert open_checkpoint(folder).spec.head == spec.head
    assert open_checkpoint(folder).spec.compression == COMPRESSION


@pytest.mark.parametrize("schema", [1, 2])
def test_an_earlier_schema_has_no_head(tmp_path, schema):
    folder = change(write(tmp_path / "c", make_spec(head=Head("concat_pool", ()))), schema=schema)
    with pytest.raises(BadInput, match="is damaged at"):
        open_checkpoint(folder)


def test_schema_3_without_a_head_is_refused(tmp_path):
    folder = change(write(tmp_path / "c"), schema=3)
    with pytest.raises(BadInput, match="'head' is a required property"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "head",
    [
        None,
        {},
        {"pool": "concat_pool"},
        {"pool": "max_pool", "hidden": []},
        {"pool": "concat_pool", "hidden": [0]},
        {"pool": "concat_pool", "hidden": [1.5]},
        {"pool": "concat_pool", "hidden": [], "relu": True},
    ],
)
def test_a_head_of_no_known_kind_is_refused(tmp_path, head):
    folder = write(tmp_path / "c", make_spec(head=Head("concat_pool", ())))
    with pytest.raises(BadInput, match=r"is damaged at \$\.head"):
        open_checkpoint(change(folder, head=head))


def test_a_variant_is_opened_once_and_travels_with_its_checkpoint(tmp_path):
    parent = open_checkpoint(write(tmp_path / "c"))
    compression = replace(COMPRESSION, parent_sha256=parent.sha256)
    write_compressed(tmp_path / "c" / "w3", compression)
    assert [parent.has_variant(precision) for precision in ("w3", "w4")] == [True, False]
    found = parent.variant("w3")
    (tmp_path / "c" / "w3" / SPEC_FILE).unlink()
    assert parent.variant("w3") is found
    copied = pickle.loads(pickle.dumps(parent))  # noqa: S301  as it goes to another process
    assert (copied, copied.variant("w3")) == (parent, found)
    assert copied.variant("w3").grids().keys() == GRIDS.keys()


def test_a_variant_of_another_checkpoint_is_refused(tmp_path):
    parent = open_checkpoint(write(tmp_path / "c"))
    write_compressed(tmp_path / "c" / "w3")
    with pytest.raises(BadInput, match="was compressed from another checkpoint"):
        parent.variant("w3")


# --- the owner's words


OWNER = Owner("photos", "balls", examples=(Example("examples/1.jpg", "a ball"),))


def test_the_owners_words_come_back_and_do_not_change_the_identity(tmp_path):
    neutral, said = write(tmp_path / "a"), write(tmp_path / "b", make_spec(owner=OWNER))
    assert not (neutral / OWNER_FILE).exists()
    assert open_checkpoint(neutral).spec.owner == Owner()
    assert open_checkpoint(said).spec.owner == OWNER
    assert open_checkpoint(said).sha256 == open_checkpoint(neutral).sha256
    assert set(json.loads((said / OWNER_FILE).read_text())) == {
        *("schema", "images", "looks_for", "examples")
    }


def test_a_compressed_checkpoint_has_the_words_of_its_parent(tmp_path, monkeypatch):
    parent = write(tmp_path / "c", make_spec(owner=OWNER))
    inside = write_compressed(parent / "w4")
    assert not (inside / OWNER_FILE).exists()
    assert open_checkpoint(inside).spec.owner == OWNER
    monkeypatch.chdir(inside)
    assert open_checkpoint(Path()).spec.owner == OWNER


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"schema": 2}, "has schema 2, this version reads 1"),
        ({"images": ""}, r"damaged at \$\.images"),
        ({"looks_for": "a\n"}, r"damaged at \$\.looks_for"),
        ({"looks_for": "a\u202eb"}, r"damaged at \$\.looks_for"),
        ({"samples": "lungs"}, r"damaged at \$\.samples"),
        ({"patients": "some"}, "damaged"),
        ({"examples": [{"file": "../x.jpg", "caption": "x"}]}, "damaged"),
        ({"examples": [{"file": "examples/x.jpg\n", "caption": "x"}]}, "damaged"),
        ({"examples": [{"file": "examples/..jpg", "caption": "x"}]}, "damaged"),
        ({"examples": [{"file": "examples/x.js", "caption": "x"}]}, "damaged"),
    ],
)
def test_damaged_words_are_refused(tmp_path, words, said):
    folder = write(tmp_path / "c")
    (folder / OWNER_FILE).write_text(json.dumps({"schema": 1, **words}))
    with pytest.raises(BadInput, match=said):
        open_checkpoint(folder)
