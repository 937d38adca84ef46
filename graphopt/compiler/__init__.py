"""The driver: from a model to an optimized model, and on to a program."""
