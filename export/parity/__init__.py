"""Does a file give PyTorch's outputs? Each question that a proof asks is a file."""
