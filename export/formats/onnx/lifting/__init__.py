"""An ONNX graph as a program, with the file's own weights."""
