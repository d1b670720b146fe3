"""TorchScript-lite: what PyTorch's mobile interpreter loads."""
