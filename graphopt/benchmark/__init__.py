"""Comparing runtimes on models: each in a process of its own, in turns, on equal threads and the same inputs.

`runtimes` is the table of runtimes, and `program`, `onnxruntime` and `openvino` hold a loader each. A `case` is
a model at a batch size, ready to be loaded; a `worker` is the process of one runtime; a `contest` is the turns of
several workers on a case. `quiet` says what other programs take of the cores meanwhile, `plot` draws the outcome.
"""
