"""What to type after a command that made a checkpoint, with the options in force."""

from __future__ import annotations

from pathlib import Path

from pipeline.terminal.command_line import command_line


def export_command(checkpoint: Path, data: Path | None) -> str:
    """The command that makes mobile models of a checkpoint."""
    return command_line("export", "all", checkpoint=checkpoint, data=data)


def print_next(checkpoint: Path, data: Path | None, threads: int | None = None) -> None:
    """Print how a new checkpoint is exported, and compressed before where that is possible."""
    from pipeline.checkpoint import open_checkpoint
    from pipeline.compress.compressible import refusal_of

    print(f"\nnext: {export_command(checkpoint, data)}")
    reason = refusal_of(open_checkpoint(checkpoint))
    if reason:
        print(f"no smaller files than fp16: {reason}")
        return
    compress = command_line("pipeline", "compress", checkpoint, data=data, threads=threads)
    print(f"for smaller files, before it: {compress}")
