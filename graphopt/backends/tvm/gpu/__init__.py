"""Kernels for GPUs: their code, the compilers of it, and what the host does to run them.

    codegen   scheduled kernels → sources in a GPU's language, and launches
    cuda      CUDA C++ → cubin or PTX, by NVRTC or nvcc; no GPU is needed
    limits    what launches ask for, compared with what each GPU of a kind gives
    write     a planned module → files: kernels, and the plan of a run

The runtime side, which imports no part of the compiler:

    plan         which kernels in which order, and where all tensors lie
    executor     runs a plan on a device
    device       what a plan asks of a device: memory, kernels, their limits
    opencl       devices of OpenCL, by pyopencl
    cuda_driver  GPUs of NVIDIA's, by their driver

TVM 0.27's wheel has code generators for cuda, opencl, metal and webgpu, but the runtime of cuda alone. So the host's
part is ours, and the same for all: what runs on a device of OpenCL is tried for CUDA as well, but for the driver's
functions. SPIR-V for Vulkan and the libraries of ROCm are not in that wheel.
"""
