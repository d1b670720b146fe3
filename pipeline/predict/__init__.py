"""What a model says about images: labels, probabilities, heat maps; for checkpoints and files."""
