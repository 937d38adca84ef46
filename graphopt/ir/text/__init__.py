"""The textual form of ONNX: printed for people, parsed for tests."""
