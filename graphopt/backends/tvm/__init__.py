"""The TVM backend, and the only part of graphopt that imports TVM.

    lower     IR → Relax and TE: what is computed, values tagged with their layout
    schedule  what a kernel's loops become on a target: pure functions of shapes and target facts
    kernels   what lowering and scheduling agree on: the marks of kernels
    narrow    numbers that are multiplied with their neighbours, among them those of `bfloat16`, a type that TVM lacks
    build     native code and weights, in memory or exported; `compile` does all three for a region
    weights   the file of weights beside a library
    abi       the one version of TVM's foreign-function layer that works
    executor  the runtime side, on `runtime_library`; imports no part of the compiler, nor TVM's
    traced    a region whose kernels are known by their nodes, to be run by `timing` with a clock at each
    tuning    measured choices for schedules, in place of those of analysis
    roofline  what the machine can do at most, as a measure for them

Of these only `lower` knows ONNX, and only `executor` is needed to run.
"""
