"""The archive of a TorchScript-lite file: written small, and read without running it."""
