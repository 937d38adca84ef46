"""Quantization: the plan of a model in integers, and the emitters that write it for a target."""
