// Stands for NVIDIA's driver: its memory is the process's, its modules are libraries of the host, named by their path.
// With cuda.h at hand the compiler checks that these are the driver's functions, as they are.
#ifdef HAS_CUDA_H
#include <cuda.h>
#else
typedef int CUresult, CUdevice, CUdevice_attribute, CUfunction_attribute;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
#define CUDAAPI
#define cuMemAlloc cuMemAlloc_v2
#define cuMemFree cuMemFree_v2
#define cuMemcpyHtoD cuMemcpyHtoD_v2
#define cuMemcpyDtoH cuMemcpyDtoH_v2
#define cuMemcpyDtoD cuMemcpyDtoD_v2
#endif
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

static int gpus = 1, major_number = 9, minor_number = 0;
static long allocated = 0, launched = 0;
static size_t memory = 1 << 30;
static CUcontext context = reinterpret_cast<CUcontext>(&gpus);
static thread_local CUcontext current = nullptr;

typedef void (*OnCpu)(const unsigned *extents, void **arguments);

extern "C" {
void stand_for(int count, int major, int minor, size_t bytes) {
  gpus = count, major_number = major, minor_number = minor, memory = bytes;
}
long live() { return allocated; }
long launches() { return launched; }

static CUresult Status(int code) { return static_cast<CUresult>(code); }
static CUresult InContext(int code = 0) { return Status(current == context ? code : 201); }

CUresult CUDAAPI cuInit(unsigned) { return Status(gpus ? 0 : 100); }
CUresult CUDAAPI cuDeviceGetCount(int *count) { return *count = gpus, Status(0); }
CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal) { return *device = 7, Status(ordinal ? 101 : 0); }
CUresult CUDAAPI cuDeviceGetName(char *name, int size, CUdevice) {
  return strncpy(name, "stand-in", static_cast<size_t>(size)), Status(0);
}
CUresult CUDAAPI cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
  switch (static_cast<int>(which)) {
    case 75: *value = major_number; break;
    case 76: *value = minor_number; break;
    case 2: case 3: *value = 1024; break;
    case 4: *value = 64; break;
    case 8: *value = 48 << 10; break;
    default: return Status(1);
  }
  return Status(device == 7 ? 0 : 101);
}
CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *taken, CUdevice device) {
  return *taken = context, Status(device == 7 ? 0 : 101);
}
CUresult CUDAAPI cuCtxSetCurrent(CUcontext taken) { return current = taken, Status(0); }
CUresult CUDAAPI cuMemAlloc(CUdeviceptr *address, size_t size) {
  if (size == 0 || size > memory) return Status(size ? 2 : 1);
  *address = reinterpret_cast<CUdeviceptr>(aligned_alloc(512, (size + 511) / 512 * 512));
  return ++allocated, InContext();
}
CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
  return free(reinterpret_cast<void *>(address)), --allocated, InContext();
}
CUresult CUDAAPI cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t size) {
  return memcpy(reinterpret_cast<void *>(to), from, size), InContext();
}
CUresult CUDAAPI cuMemcpyDtoH(void *to, CUdeviceptr from, size_t size) {
  return memcpy(to, reinterpret_cast<void *>(from), size), InContext();
}
CUresult CUDAAPI cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t size) {
  return memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), size), InContext();
}
CUresult CUDAAPI cuModuleLoadData(CUmodule *module, const void *image) {
  *module = static_cast<CUmodule>(dlopen(static_cast<const char *>(image), RTLD_NOW | RTLD_LOCAL));
  return InContext(*module ? 0 : 200);
}
CUresult CUDAAPI cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  *function = static_cast<CUfunction>(dlsym(module, (std::string(name) + "_on_cpu").c_str()));
  return InContext(*function ? 0 : 500);
}
CUresult CUDAAPI cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction function) {
  return *value = 1024, Status(static_cast<int>(which) == 0 && function ? 0 : 1);
}
CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned x, unsigned y, unsigned z, unsigned threads_x,
                                unsigned threads_y, unsigned threads_z, unsigned shared, CUstream stream, void **arguments,
                                void **extra) {
  if (shared || stream || extra) return Status(1);
  const unsigned extents[] = {x, y, z, threads_x, threads_y, threads_z};
  reinterpret_cast<OnCpu>(function)(extents, arguments);
  return ++launched, InContext();
}
CUresult CUDAAPI cuGetErrorString(CUresult code, const char **words) {
  *words = static_cast<int>(code) == 2 ? "out of memory" : "no such thing";
  return Status(0);
}
}
