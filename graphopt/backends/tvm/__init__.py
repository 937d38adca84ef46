"""The TVM backend, and the only part of graphopt that imports TVM.

    lower     IR → Relax and TE: what is computed, values tagged with their layout
    schedule  what a kernel's loops become on a target: pure functions of shapes and target facts
    build     Relax virtual-machine executable: run in memory, or exported as a shared library
    executor  the runtime side; imports no part of the compiler

Of these only `lower` knows ONNX, and only `executor` is needed to run.
"""
