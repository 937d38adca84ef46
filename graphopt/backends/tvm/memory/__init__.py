"""Where the values of a run lie: planned when a program is compiled, so that a run allocates its results alone.

    usage      what a function does to memory: a list of steps that read and write buffers
    overwrite  which operands a kernel may write its result over: a proof on its loops
    sharing    which buffers share memory: parts with what they are joined into, results with what they overwrite
    arena      places in one arena for what shares nothing, by sizes and live ranges
    plan       reads a Relax function as a usage, and writes the places back into it

`usage`, `sharing` and `arena` know nothing of TVM.
"""
