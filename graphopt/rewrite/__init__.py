"""Rewriting by rules: patterns, the matcher, the builder, the driver."""
