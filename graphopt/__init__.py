"""graphopt: a compiler-style graph optimizer over ONNX."""
