"""Measuring models: beside other runtimes, and kernel by kernel.

Runtimes are compared in turns, each in a process of its own, on equal threads and the same inputs. `runtimes` is
the table of them, and `program`, `onnxruntime` and `openvino` hold a loader each. A `case` is a model at a batch
size, ready to be loaded; a `worker` is the process of one runtime, a `turn` what it is asked for; a `contest` is
the turns of several on a case.
`quiet` says what other programs take of the cores meanwhile, `resident` how much memory a process has taken, and
`plot` draws it all.

A `profile` runs the `parts` of a program with a clock at each kernel; `bound` says what holds a kernel back. A
`story` is the history of a program, its kernels and their times included, for a page.
"""
