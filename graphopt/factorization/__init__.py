"""Products of large weights as products of several small ones."""
