"""A checkpoint in fewer bits per weight."""
