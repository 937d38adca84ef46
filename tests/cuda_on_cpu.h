// Runs kernels of CUDA C++ whose threads do not speak with each other, one thread after the other.
#include <algorithm>
#include <cmath>
#include <cstdint>
#define __global__
#define __launch_bounds__(threads)
#define __restrict__
struct Place { int x, y, z; };
static Place blockIdx, threadIdx;
using std::max;
using std::min;
