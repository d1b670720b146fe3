"""The sections of the page: sources in, blocks out, a file for each."""
