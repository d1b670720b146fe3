"""The peers: other runtimes, and the stock recipes of our own, a file each."""
