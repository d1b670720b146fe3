"""ORT format: ONNX, optimised and stored as onnxruntime keeps it."""
