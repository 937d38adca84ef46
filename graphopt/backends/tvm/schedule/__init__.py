"""What a kernel's loops become on a target: pure functions of shapes and target facts.

    module       fuses operators into kernels, then schedules each
    kernel       the shape of a kernel: its blocks and loops, what is inlined
    choices      what a schedule leaves open, and who decides it
    workload     the key by which a decision finds its kernel
    templates    the table from marked kernels to schedules
    generic      any kernel: parallel outside, vectors inside, reductions apart from their initialization
    convolution  windows: direct convolution, depthwise convolution, pooling
    linear       rows times packed panels
    tile         how much is kept in registers
    sharing      how cores share a convolution
    summation    long sums, in registers and in parts
    bias         what sums of integers begin with
    dots         products of narrow numbers, by `instructions` that TVM does not know
    prefetch     weights that are needed next, asked for while others are multiplied

Lowering and scheduling share only the marks of `kernels` and how `narrow` numbers are stored.
"""
