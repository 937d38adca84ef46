"""Who executes a graph: TVM for what it can take, onnxruntime for the rest and as the reference."""
