"""An ONNX graph executed by PyTorch, which knows its gradients: one function an operator, a file a family."""
