"""What can go wrong with an artifact; the errors of bad requests are in `pipeline.errors`.

A failed comparison is a result (`export.parity.check.ParityResult`), not an exception.
"""

from __future__ import annotations


class ConversionFailed(Exception):
    """A converter raised, or wrote something other than what was requested. Exit code 1."""


class CannotRunHere(Exception):
    """The artifact's runtime is not available on this machine, or lacks an operation of it.

    Its parity is `not_run`.
    """


class Unreadable(Exception):
    """An artifact is damaged or not in its format. Its parity is `fail`."""
