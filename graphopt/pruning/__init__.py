"""Channels that a network can do without: which, how many of each layer, and what the others do instead."""
