"""How long training takes to a stated quality: ours beside plain fastai, on the same images."""
