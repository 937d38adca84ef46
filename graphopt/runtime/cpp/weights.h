// The weights of a program, arrays in numpy's format NPY 1.0 one behind the other, mapped into memory.
#pragma once

#include <tvm/ffi/container/tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace graphopt {

// Return the arrays that begin at some bytes of a file, which stays mapped, and shared between processes, as long as
// one of them lives; throws std::runtime_error where they do not lie there.
std::vector<tvm::ffi::Tensor> ReadWeights(const std::filesystem::path& path, const std::vector<int64_t>& places);

}  // namespace graphopt
