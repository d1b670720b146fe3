"""A checkpoint in fewer bits a weight."""
