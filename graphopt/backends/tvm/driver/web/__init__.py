"""Programs as WebAssembly modules: kernels that LLVM compiled, one function that calls them, and a loader.

words      kernels without intrinsics that WebAssembly would call a C library for
entry      the function
link       objects to one module, by LLVM's linker
loader     what runs it in JavaScript: model.mjs
write      all of it, as the files of a directory
"""
