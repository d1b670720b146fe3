"""Size, latency and memory of every artifact on this machine's CPU, beside PyTorch eager."""
