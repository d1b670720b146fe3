"""The results of a run, as one document and as one page."""
