"""Size, latency and memory of every artifact on this machine's CPU, compared with PyTorch eager."""
