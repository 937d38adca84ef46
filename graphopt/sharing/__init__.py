"""Weights that are equal: code books, and tensors that several nodes read."""
