"""Programs behind HTTP: the Open Inference Protocol, requests put together to batches, a bounded queue a model."""
