"""Layers and blocks that a network can do without: what they read stands in for what they make."""
