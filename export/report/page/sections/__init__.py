"""The sections of the page: sources in, blocks out, one file each."""
