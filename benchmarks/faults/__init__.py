"""The fault bench: files and asset folders, each wrong in one known way; the check must catch all.

The table of faults is data (`table`). Each fault names a place by its kind ("the third ReLU", "the
first two weights of one shape"), so it can be planted in any network of `pipeline.models`, in every
format and precision that a checkpoint has.
"""
