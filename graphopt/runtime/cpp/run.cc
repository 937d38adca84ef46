// run FOLDER < inputs > outputs: run a program once on raw float32 values, one input behind the other.
#include <cstdio>
#include <exception>

#include "program.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER < inputs > outputs\n", argv[0]);
    return 2;
  }
  try {
    graphopt::Program program(argv[1]);
    std::vector<graphopt::Tensor> inputs;
    for (const auto& shape : program.shapes()) {
      inputs.push_back(graphopt::Empty(shape, DLDataType{kDLFloat, 32, 1}));
      const size_t size = tvm::ffi::GetDataSize(inputs.back());
      if (std::fread(inputs.back().data_ptr(), 1, size, stdin) != size) {
        std::fprintf(stderr, "too few bytes for input %s\n", program.inputs()[inputs.size() - 1].c_str());
        return 1;
      }
    }
    for (const graphopt::Tensor& output : program(inputs)) {
      std::fwrite(output.data_ptr(), 1, tvm::ffi::GetDataSize(output), stdout);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
