"""Programs for other machines: one C function that calls kernels over one arena, without any runtime of TVM.

sequence   a planned module as a list of calls, each argument at its place
bare       kernels as C functions of plain pointers
signature  the C types and names of what the function takes
model      the function, its header, and a program that runs it on files
constants  weights as constant arrays in C
write      all of it, as the files of a directory
"""
