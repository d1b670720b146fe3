from __future__ import annotations

import pytest

from pipeline.cli.main import main


def test_names_are_listed_one_a_line(capsys):
    assert main(["architectures", "--like", "shufflenet"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
    ]  # fmt: skip
    assert main(["architectures", "--like", "lenet_of_1998"]) == 1


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_misspelled_architecture_is_exit_2_with_the_near_names(command, capsys):
    option = {"train": "--architecture", "compare": "--topologies"}[command]
    assert main([command, option, "efficentnet_b0"]) == 2
    told = capsys.readouterr().err
    assert "did you mean efficientnet_b0" in told
    assert "python -m pipeline architectures" in told
