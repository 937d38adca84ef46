"""Programs for other machines: one function that calls kernels over one arena, without any runtime of TVM.

sequence   a planned module as a list of calls, each argument at its place
bare       kernels as C functions of plain pointers
signature  the C types and names of what the function takes
program    from nodes to all of these
model      the function in C, its header, and a program that runs it on files
constants  weights as constant arrays in C
sources    all of it, as the files of a directory that make builds
web        the same as a WebAssembly module and its loader in JavaScript
write      the one or the other
"""
