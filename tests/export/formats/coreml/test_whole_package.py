"""What is in a package and not of its program is refused with its place."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.faults.planted.specification import main_block, operations, rename_arguments
from export.formats.coreml.evaluator.package import read_specification, specification_path
from export.formats.coreml.whole_package import left_over
from tests.export.conftest import Artifacts, Model, convert
from tests.export.formats.coreml.lifting.lifted_networks import lifted_of, made_graph

if TYPE_CHECKING:
    from coremltools.proto.Model_pb2 import Model

pytestmark = [
    pytest.mark.slow("converts a small network"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "made.mlpackage"
    return lifted_of(*made_graph("small residual"), "fp16", path).path


@pytest.fixture
def package(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "made.mlpackage"))


def optional_input(document: Model) -> None:
    document.description.input[0].type.isOptional = True


def flexible_input(document: Model) -> None:
    size = document.description.input[0].type.imageType.imageSizeRange
    size.widthRange.lowerBound, size.widthRange.upperBound = 1, -1


def updatable(document: Model) -> None:
    document.isUpdatable = True


def other_block(document: Model) -> None:
    function = document.mlProgram.functions["main"]
    function.block_specializations["CoreML8"].CopyFrom(main_block(document))


def later_version(document: Model) -> None:
    document.specificationVersion = 9


def unused_operation(document: Model) -> None:
    added = main_block(document).operations.add()
    added.CopyFrom(operations(document, "relu")[0])
    added.outputs[0].name = "spare"


def unknown_attribute(document: Model) -> None:
    document.mlProgram.attributes["spare"].docString = "hidden"


def unknown_field(document: Model) -> None:
    operations(document, "relu")[0].MergeFromString(b"\xa2\x3e\x04more")  # field 996


def other_file(document: Model) -> None:
    stored = [o for o in operations(document, "const") if o.attributes["val"].blobFileValue.offset]
    stored[0].attributes["val"].blobFileValue.fileName = "@model_path/weights/other.bin"


def relu_of_other_type(document: Model) -> None:
    operations(document, "relu")[0].outputs[0].type.tensorType.dataType = 11  # FLOAT32


def no_cast(document: Model) -> None:
    cast = operations(document, "cast")[0]
    before, after = cast.inputs["x"].arguments[0].name, cast.outputs[0].name
    dtype = cast.inputs["dtype"].arguments[0].name
    main_block(document).operations.remove(cast)
    rename_arguments(document, after, before)
    for each in operations(document, "const"):
        if each.outputs[0].name == dtype:
            main_block(document).operations.remove(each)


def operation_of_ios_18(document: Model) -> None:
    operations(document, "relu")[0].type = "scaled_dot_product_attention"


DOCUMENTS = {
    "featuretype isOptional, which no part": optional_input,
    "imagefeaturetype imageSizeRange, which no part": flexible_input,
    "model isUpdatable, which no part": updatable,
    r"blocks for \['CoreML6', 'CoreML8'\], not for CoreML6 alone": other_block,
    "a program of CoreML6 in specification version 9": later_version,
    "relu spare, whose result nothing uses": unused_operation,
    "program attribute spare, which no part": unknown_attribute,
    "7 bytes of fields that Core ML does not know": unknown_field,
    "weights in '@model_path/weights/other.bin'": other_file,
    "reader refuses at relu .*: Mismatch between var types": relu_of_other_type,
    "reader refuses at conv .*: In op, of type conv": no_cast,
    "reader refuses at scaled_dot_product_attention": operation_of_ios_18,
}


@pytest.mark.parametrize("words", DOCUMENTS)
def test_a_specification_with_more_or_other_than_its_program(words: str, package: Path) -> None:
    document = read_specification(package)
    DOCUMENTS[words](document)
    specification_path(package).write_bytes(document.SerializeToString())
    assert [said for said in left_over(package) if re.search(words, said)]


def weights(package: Path) -> Path:
    return specification_path(package).parent / "weights" / "weight.bin"


def stray_file(package: Path) -> None:
    (package / "Data" / "notes.txt").write_text("hello")


def stray_link(package: Path) -> None:
    (package / "Data" / "more").symlink_to(package)


def manifest_without_weights(package: Path) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    entries = manifest["itemInfoEntries"]
    del entries[next(key for key, entry in entries.items() if entry["name"] == "weights")]
    (package / "Manifest.json").write_text(json.dumps(manifest))


def more_after_the_weights(package: Path) -> None:
    with weights(package).open("ab") as file:
        file.write(bytes(1 << 20))


def between_records(package: Path) -> None:
    content = bytearray(weights(package).read_bytes())
    content[8] = 1  # of the header, after the count and the version
    weights(package).write_bytes(content)


def another_count(package: Path) -> None:
    content = bytearray(weights(package).read_bytes())
    content[0] += 1
    weights(package).write_bytes(content)


def another_version(package: Path) -> None:
    content = bytearray(weights(package).read_bytes())
    content[4] = 7
    weights(package).write_bytes(content)


def said_twice(package: Path) -> None:
    place = specification_path(package)
    place.write_bytes(b"\x08\x07" + place.read_bytes())  # the version, and again


FILES = {
    r"a file that is not of a package: Data/notes\.txt": stray_file,
    "a file that is not of a package: Data/more": stray_link,
    r"a manifest of com\.apple\.CoreML/model\.mlmodel, not of": manifest_without_weights,
    r"1048576 bytes in weight\.bin at byte \d+ that no record holds": more_after_the_weights,
    r"\d+ bytes in weight\.bin at byte 8 that no record holds": between_records,
    r"\d+ records in weight\.bin, of which \d+ are read": another_count,
    r"a weight\.bin of version 7, not 2": another_version,
    "2 bytes in its specification that say nothing, or say it twice": said_twice,
}


@pytest.mark.parametrize("words", FILES)
def test_a_package_with_more_or_other_than_its_program(words: str, package: Path) -> None:
    FILES[words](package)
    assert [said for said in left_over(package) if re.search(words, said)]


def described(package: Path) -> None:
    document = read_specification(package)
    document.description.output[0].shortDescription = "in other words"
    document.description.metadata.author = "somebody"
    specification_path(package).write_bytes(document.SerializeToString())


def manifest_in_other_words(package: Path) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=None))


def as_it_is(package: Path) -> None:
    pass


@pytest.mark.parametrize(
    "change", [as_it_is, described, manifest_in_other_words], ids=lambda change: change.__name__
)
def test_what_is_sound_passes(change: Callable[[Path], None], package: Path) -> None:
    change(package)
    assert left_over(package) == []


def test_what_is_converted_next_is_the_same_whatever_was_read(
    model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    before = artifacts["coreml", "int8"]
    left_over(artifacts["coreml", "w4"])  # whose operations have no names: they are given some
    again = convert(model, "coreml", "int8", tmp_path)
    assert specification_path(again).read_bytes() == specification_path(before).read_bytes()
