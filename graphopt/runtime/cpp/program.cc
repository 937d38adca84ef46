#include "program.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "weights.h"

namespace graphopt {
namespace {

using tvm::ffi::Any;
using tvm::ffi::AnyView;
using tvm::ffi::Function;
using tvm::ffi::Module;
using tvm::ffi::String;
using tvm::ffi::json::Array;

constexpr int64_t kFormat = 7;
constexpr size_t kAlignment = 64;
constexpr int kBigCores = 1;  // an affinity mode of config_threadpool; it only counts where threads are not bound
constexpr int kPooled = 2;    // an allocator of the virtual machine

struct AlignedAllocator {
  void AllocData(DLTensor* tensor) {
    const size_t size = tvm::ffi::GetDataSize(*tensor);
    tensor->data = std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment + kAlignment);
    if (tensor->data == nullptr) throw std::bad_alloc();
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

Object ReadManifest(const std::filesystem::path& folder) {
  std::ifstream file(folder / "manifest.json", std::ios::binary);
  if (!file) throw std::runtime_error(folder.string() + " holds no manifest.json; compile a model into it");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  String error;
  const auto manifest = tvm::ffi::json::Parse(text, &error).try_cast<Object>();
  if (!error.empty() || !manifest) throw std::runtime_error("manifest.json is damaged; compile the model again");
  if ((*manifest)["format_version"].cast<int64_t>() != kFormat) {
    throw std::runtime_error("the program is of another version of graphopt; compile the model again");
  }
  return *manifest;
}

std::vector<int64_t> Integers(const Array& array) {
  std::vector<int64_t> integers;
  for (const Any& item : array) integers.push_back(item.cast<int64_t>());
  return integers;
}

std::vector<std::string> Names(const Array& described) {
  std::vector<std::string> names;
  for (const Any& one : described) names.push_back(one.cast<Object>()["name"].cast<String>());
  return names;
}

// Return where each of the values that the code takes or gives stands among those of the program.
std::vector<size_t> Positions(const Array& of, const std::vector<std::string>& among) {
  std::vector<size_t> positions;
  for (const Any& one : of) {
    const auto found = std::find(among.begin(), among.end(), std::string(one.cast<String>()));
    if (found == among.end()) throw std::runtime_error("manifest.json is damaged; compile the model again");
    positions.push_back(static_cast<size_t>(found - among.begin()));
  }
  return positions;
}

}  // namespace

Tensor Empty(const std::vector<int64_t>& shape, DLDataType dtype) {
  return Tensor::FromNDAlloc(AlignedAllocator(), tvm::ffi::ShapeView(shape.data(), shape.size()), dtype,
                             DLDevice{kDLCPU, 0});
}

Program::Program(const std::filesystem::path& folder) {
  const Object program = ReadManifest(folder)["program"].cast<Object>();
  const Array variants = program["variants"].cast<Array>();
  if (variants.size() > 1) throw std::runtime_error("the program has code for several shapes; compile it for one");
  const Array parts = variants.empty() ? Array() : variants[0].cast<Object>()["parts"].cast<Array>();
  if (parts.size() != 1 || parts[0].cast<Object>()["executor"].cast<String>() != "tvm") {
    throw std::runtime_error("the program or a part of it runs in onnxruntime or on a GPU, which graphopt.load calls");
  }
  inputs_ = Names(program["inputs"].cast<Array>());
  outputs_ = Names(program["outputs"].cast<Array>());
  const Object shapes = variants[0].cast<Object>()["shapes"].cast<Object>();
  for (const std::string& name : inputs_) shapes_.push_back(Integers(shapes[name].cast<Array>()));
  ReadCode(folder, parts[0].cast<Object>(), program["threads"].cast<int>());
}

void Program::ReadCode(const std::filesystem::path& folder, const Object& part, int threads) {
  taken_ = Positions(part["inputs"].cast<Array>(), inputs_);
  given_ = Positions(part["outputs"].cast<Array>(), outputs_);
  // TVM reads both from the environment alone, when it makes the pool.
  setenv("TVM_NUM_THREADS", std::to_string(threads).c_str(), 0);
  setenv("TVM_BIND_THREADS", "0", 0);
  weights_ = ReadWeights(folder / "weights.bin", Integers(part["weights"].cast<Array>()));
  code_ = Module::LoadFromFile((folder / std::string(part["file"].cast<String>())).string());
  machine_ = code_.value()->GetFunction("vm_load_executable").value()().cast<Module>();
  machine_.value()->GetFunction("vm_initialization").value()(static_cast<int>(kDLCPU), 0, kPooled);
  main_ = machine_.value()->GetFunction("main").value();
  Function::GetGlobalRequired("runtime.config_threadpool")(kBigCores, threads);
}

std::vector<Tensor> Program::operator()(const std::vector<Tensor>& inputs) {
  if (inputs.size() != inputs_.size()) {
    throw std::runtime_error("the program takes " + std::to_string(inputs_.size()) + " inputs");
  }
  std::vector<AnyView> arguments;
  for (const size_t position : taken_) arguments.push_back(inputs[position]);
  arguments.insert(arguments.end(), weights_.begin(), weights_.end());
  Any results;
  main_.value().CallPacked(arguments.data(), static_cast<int32_t>(arguments.size()), &results);
  const auto several = results.try_cast<Array>();
  std::vector<Tensor> outputs(outputs_.size());
  for (size_t index = 0; index < given_.size(); ++index) {
    outputs[given_[index]] = (several ? (*several)[static_cast<int64_t>(index)] : results).cast<Tensor>();
  }
  return outputs;
}

}  // namespace graphopt
