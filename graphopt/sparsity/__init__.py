"""Weights that are zero: which, and how they are stored."""
