"""How good are a model's outputs? Numbers alone: no torch, no file."""
