// A compiled program, run from C++ without Python: the folder that `graphopt compile model.onnx -o FOLDER` writes.
//
// It needs TVM's runtime, libtvm_runtime and libtvm_ffi of the version in the manifest, whose headers and libraries are
// in the wheels apache-tvm and apache-tvm-ffi. It trusts the folder: digests and signatures are what `graphopt.load`
// checks before it runs native code.
#pragma once

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <filesystem>
#include <string>
#include <vector>

namespace graphopt {

using tvm::ffi::Tensor;
using tvm::ffi::json::Object;

// Return new memory on the CPU, aligned as kernels read it.
Tensor Empty(const std::vector<int64_t>& shape, DLDataType dtype);

// One program, of one shape of its inputs, all of which TVM runs. A call at a time.
class Program {
 public:
  // Load it; throws std::runtime_error where the folder is no such program.
  explicit Program(const std::filesystem::path& folder);

  // Run once: inputs and outputs in the order of the manifest; memory of inputs as `Empty` gives it.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs);

  // The names of inputs and outputs, and the shapes that the code was made for, of the inputs.
  const std::vector<std::string>& inputs() const { return inputs_; }
  const std::vector<std::vector<int64_t>>& shapes() const { return shapes_; }
  const std::vector<std::string>& outputs() const { return outputs_; }

 private:
  void ReadCode(const std::filesystem::path& folder, const Object& part, int threads);

  std::vector<std::string> inputs_;
  std::vector<std::vector<int64_t>> shapes_;
  std::vector<std::string> outputs_;
  std::vector<size_t> taken_;  // by parameter of the code, which input it is
  std::vector<size_t> given_;  // by result of the code, which output it is
  std::vector<Tensor> weights_;
  tvm::ffi::Optional<tvm::ffi::Module> code_;
  tvm::ffi::Optional<tvm::ffi::Module> machine_;
  tvm::ffi::Optional<tvm::ffi::Function> main_;
};

}  // namespace graphopt
