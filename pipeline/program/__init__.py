"""A network as one small program: a flat list of operations that loads, runs and compares."""
