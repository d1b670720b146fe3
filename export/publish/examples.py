"""The pictures that the owner of a model shows on its page, from the checkpoint's folder.

In: a checkpoint. Out: path in the asset folder for the web -> content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.checkpoint import OWNER_FILE
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint

EXAMPLES: Final = "examples/"  # what lies elsewhere comes with the folder, such as golden images


def example_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The pictures that lie beside the checkpoint.

    Raises:
        BadInput: the owner's words name one that is not there, or is no regular file.
    """
    files = {}
    for example in checkpoint.spec.owner.examples:
        if example.file.startswith(EXAMPLES):
            path = checkpoint.folder / example.file
            if path.is_symlink() or not path.is_file():
                raise BadInput(
                    f"{checkpoint.folder / OWNER_FILE} names {example.file}, which is no file "
                    "there; put it there, or name another"
                )
            files[example.file] = path.read_bytes()
    return files
