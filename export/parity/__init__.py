"""Does a file give PyTorch's outputs? Each question of the proof has a file."""
