"""A small network trained on handwritten digits, and the images that it has not seen.

`README.md` beside this file says how both were made.
"""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).with_name("digits.onnx")
"""`image` float32 [N, 1, 8, 8], grey levels 0 … 16, to `logits` float32 [N, 10]."""

TEST = Path(__file__).with_name("digits_test.npz")
"""`images` uint8 [360, 1, 8, 8], grey levels 0 … 16, and `labels` uint8 [360]."""
