"""The verbs that onnx_ir lacks: load and save, walk, edit, verify, infer shapes, print and parse."""
