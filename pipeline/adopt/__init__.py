"""A fastai model that exists already becomes a checkpoint."""
