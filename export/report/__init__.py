"""What a run found, as one document and as one page."""
