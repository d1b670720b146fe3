"""An existing fastai model becomes a checkpoint."""
