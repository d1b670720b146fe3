import platform
import subprocess
import sys

import pytest

from export.errors import Unreadable
from export.formats.torchscript import format as torchscript_format
from export.formats.torchscript.glibc_malloc import keep_freed_memory

# Three blocks at once are more than glibc keeps by itself, which is twice the largest it has seen.
FAULTS_OF_A_SECOND_TIME = """
import resource
import torch
{setting}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use_memory():
    blocks = [torch.ones(24 * 2**20, dtype=torch.uint8) for _ in range(3)]
for _ in range({rounds}):
    use_memory()
before = faults()
use_memory()
print(faults() - before)
"""
PAGES = 72 * 2**20 // 4096  # of the three blocks
MODULE = "export.formats.torchscript.glibc_malloc"
KEPT = f"from {MODULE} import keep_freed_memory; assert keep_freed_memory()"
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")


def _faults(setting: str, rounds: int) -> int:
    program = FAULTS_OF_A_SECOND_TIME.format(setting=setting, rounds=rounds)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.ci("measures in processes of its own")
@glibc
def test_memory_that_was_freed_is_not_faulted_in_again():
    settled = 8  # the heap takes up to four rounds to find its layout
    assert _faults(KEPT, settled) < PAGES // 100
    assert _faults("", 3) > PAGES // 2, "glibc keeps it unasked: the setting may go"


@glibc
def test_the_lite_interpreter_is_never_used_without_that_setting(tmp_path):
    keep_freed_memory.cache_clear()
    (tmp_path / "not.ptl").write_bytes(b"no archive")
    with pytest.raises(Unreadable):
        torchscript_format.load(tmp_path / "not.ptl")
    assert keep_freed_memory.cache_info().currsize == 1


def test_where_there_is_no_glibc_nothing_is_set(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    keep_freed_memory.cache_clear()
    assert not keep_freed_memory()
    keep_freed_memory.cache_clear()
