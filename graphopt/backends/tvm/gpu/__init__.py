"""Kernels for GPUs: their code, and the compilers of it.

    cuda      CUDA C++ → cubin or PTX, by NVRTC or nvcc; no GPU is needed
    codegen   scheduled kernels → a `tvm.runtime.Module`, or the sources of a language of others
    limits    how many threads and how much shared memory a kernel asks for

TVM 0.27's wheel has code generators for cuda, opencl, metal and webgpu, and the runtime of cuda alone, which loads
where NVIDIA's driver is installed. SPIR-V for Vulkan and the libraries of ROCm are not in it.
"""
