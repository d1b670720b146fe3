"""Arrays of one shape in a file without a name: memory does not grow with their number.

What is written is read back from the disk, or from the system's memory of it, which it takes for
other things when it must. The file has no name: nobody else can change it, and nothing is left of
it when its process ends, however that comes about. Another process of the same program can be
given it (pickled), and then reads the same file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_BYTES: Final = 8 * 2**20


class ArrayFile:
    """N arrays of one shape and dtype, written and read by row as a numpy array is.

    Attributes:
        shape: of all together, (N, ...).
        dtype: of their numbers.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, folder: Path | None = None) -> None:
        """An empty file, in `folder` or where the system keeps temporary files.

        Raises:
            BadInput: the place cannot be written.
        """
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        self._place = folder or Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(dir=self._place, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise BadInput(f"cannot write below {self._place}: {error.strerror}") from error

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]: ...
    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """One array for an integer, (n, ...) for a slice or a list; what was never written is 0."""
        if isinstance(rows, int | np.integer):
            one: NDArray[Any] = self._read(range(len(self))[int(rows)], 1)[0]
            return one
        if isinstance(rows, slice):
            wanted = range(len(self))[rows]
            if wanted.step == 1:
                return self._read(wanted.start, len(wanted))
            rows = wanted
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            found[place] = self[int(row)]
        return found

    def __setitem__(self, row: int, values: NDArray[Any]) -> None:
        """Write one array; any thread may. Raises BadInput: there is no room."""
        if values.shape != self.shape[1:]:
            raise ValueError(f"an array of {values.shape} where {self.shape[1:]} are kept")
        self.write(range(len(self))[row], values[None])

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Write arrays (n, ...) from row `start` on. Raises BadInput: there is no room."""
        content = memoryview(np.ascontiguousarray(values, self.dtype).data).cast("B")
        at = start * self._row_bytes
        try:
            while content:
                count = os.pwrite(self._file.fileno(), content, at)
                content, at = content[count:], at + count
        except OSError as error:
            raise BadInput(
                f"cannot write {len(self) * self._row_bytes / 1e6:.0f} MB below {self._place}: "
                f"{error.strerror}"
            ) from error

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them, in memory."""
        return np.asarray(self[:], dtype)

    def __getstate__(self) -> dict[str, Any]:
        from multiprocessing.reduction import DupFd

        return {**vars(self), "_file": DupFd(self._file.fileno())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        handle = state.pop("_file").detach()
        vars(self).update(state, _file=os.fdopen(handle, "r+b", buffering=0))

    def _read(self, start: int, count: int) -> NDArray[Any]:
        found = np.zeros((count, *self.shape[1:]), self.dtype)
        into = memoryview(found.data).cast("B") if found.size else memoryview(b"")
        at = start * self._row_bytes
        while into:
            size = os.preadv(self._file.fileno(), [into], at)
            if not size:  # beyond what was written
                break
            into, at = into[size:], at + size
        return found


def batches(
    arrays: NDArray[Any] | ArrayFile, batch_bytes: int | None = None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """First row and content of parts that are read one at a time.

    Each has one row, or `batch_bytes` or less; None: `BATCH_BYTES`.
    """
    size = int(np.prod(arrays.shape[1:], dtype=np.int64)) * np.dtype(arrays.dtype).itemsize
    step = max(1, (batch_bytes or BATCH_BYTES) // max(1, size))
    for start in range(0, len(arrays), step):
        yield start, arrays[start : start + step]
