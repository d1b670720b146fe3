// What is decided when the model is published; everything else is read from manifest.json.

export const SCHEMA = 3;
export const DEFAULT_FILE = "squeezenet_cxr_w4.onnx";
