"""The peers, one file each: other runtimes, and the tutorials' recipes for our own runtimes."""
