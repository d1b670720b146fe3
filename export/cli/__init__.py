"""The command line of export, one file a command."""
