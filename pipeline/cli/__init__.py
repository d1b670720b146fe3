"""The command line of the pipeline, one file per command."""
