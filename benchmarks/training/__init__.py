"""How long training takes to reach a given quality: ours and plain fastai, on the same images."""
