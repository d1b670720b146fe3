"""Images and initial weights become a checkpoint."""
