"""The lite file of an int8 variant: which of its layers run in integers, by which kernels."""
