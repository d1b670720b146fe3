"""The document that describes an asset folder: publishing writes it, everything else reads it."""
