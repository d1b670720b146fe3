"""A fastai learner in memory, adopted as its exported file is: through that file.

In: a learner. Out: the file of `learn.export`, with the learner as it was before. One way in means
one behaviour; and what follows works on a copy, so that nothing of the learner changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from fastai.learner import Learner


def export_learner(learner: Learner, path: Path) -> None:
    """Write what `learn.export` writes to `path`, an absolute path.

    `learn.export` takes data and optimiser off the learner while it writes, and leaves it without
    them if that fails: here they come back in any case.

    Raises:
        BadInput: it is no learner, or something in it cannot be pickled.
    """
    from fastai.learner import Learner as FastaiLearner

    if not isinstance(learner, FastaiLearner):
        raise BadInput(f"adopt needs a learner of fastai or its file, not {type(learner).__name__}")
    before = dict(vars(learner))
    try:
        learner.export(path)
    except Exception as error:  # what is in a learner is of the user's own making
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInput(
            f"the learner cannot be exported: {reason}; what its transforms and callbacks hold "
            "must be picklable"
        ) from error
    finally:
        vars(learner).clear()
        vars(learner).update(before)
