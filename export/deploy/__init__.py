"""The network as it is deployed: pixels in, probabilities out; layers, variants, metadata."""
