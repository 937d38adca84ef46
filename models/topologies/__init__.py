"""The well-known topologies, one a file, with seeded random weights."""
