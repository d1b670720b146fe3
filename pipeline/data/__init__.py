"""Images: which there are, how they are split, how they become a network's input."""
