"""Freed memory stays with the process, as in runtimes with their own arena.

torch allocates memory for every tensor. Depending on where large blocks happen to lie, glibc
returns them to the system as soon as they are free: in one process of three, each inference then
faults in five megabytes again, which takes as long as the network. mallopt(3) is glibc's setting
for it; ONNX Runtime does not need it, since it keeps an arena.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Final

# Parameters of mallopt, from glibc's malloc.h.
TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
LARGEST_BLOCK_BYTES: Final = 32 * 2**20  # from the heap and not by mmap; glibc takes no more
KEPT_BYTES: Final = 128 * 2**20  # free memory at the end of the heap


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep up to 128 MiB of freed memory; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(
        mallopt(MMAP_THRESHOLD, LARGEST_BLOCK_BYTES) and mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    )
