"""The command line of benchmarks, one file a command."""
