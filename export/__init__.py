"""Checkpoint in, proven artifacts out. Knows torch and the checkpoint; never fastai.

From Python: `export.api`.
"""
