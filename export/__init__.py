"""Checkpoint in, proven artifacts out. Knows torch and the checkpoint; never fastai."""
