"""onnxruntime: the reference that every rewrite is checked against, and the fallback of the TVM backend."""
