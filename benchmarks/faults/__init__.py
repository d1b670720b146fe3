"""The fault bench: files and asset folders that are wrong in one known way, all to be caught.

The table of faults is data (`table`); each names a place by its kind ("the third ReLU", "the first
two weights of one shape"), so that it can be planted in any network of `pipeline.models`, in every
format and precision that a checkpoint has.
"""
