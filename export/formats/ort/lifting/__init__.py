"""A file of this format as a program with its own weights."""
