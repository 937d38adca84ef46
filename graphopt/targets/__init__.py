"""What a program is compiled for: its facts, and the text that they are read from."""

from graphopt.targets.facts import AUTO, KINDS, PRECISIONS, WEIGHTS, Precision, Target
from graphopt.targets.text import host, parse_target, with_precision

__all__ = ["AUTO", "KINDS", "PRECISIONS", "WEIGHTS", "Precision", "Target", "host", "parse_target", "with_precision"]
