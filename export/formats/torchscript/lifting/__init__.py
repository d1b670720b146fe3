"""A TorchScript-lite file as a program, with the file's own weights."""
