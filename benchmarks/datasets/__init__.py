"""Other people's images in small: what the default commands make of data sets that differ."""
