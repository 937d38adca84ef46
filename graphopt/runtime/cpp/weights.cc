#include "weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>

namespace graphopt {
namespace {

using tvm::ffi::Tensor;

constexpr size_t kPreamble = 10;  // six bytes of magic, two of version, two that count those of the header

[[noreturn]] void Damaged() { throw std::runtime_error("the weights of the program are damaged; compile it again"); }

struct Mapping {
  explicit Mapping(const std::filesystem::path& path) : size(std::filesystem::file_size(path)) {
    const int file = open(path.c_str(), O_RDONLY);
    // Kernels take tensors for writable, and write none; a private mapping allows both.
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    close(file);
    if (memory == MAP_FAILED) Damaged();  // an empty file too
    data = static_cast<char*>(memory);
  }
  ~Mapping() { munmap(data, size); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data;
  size_t size;
};

// An allocator whose memory is a piece of the mapping.
struct Piece {
  void AllocData(DLTensor* tensor) { tensor->data = mapping->data + start; }
  void FreeData(DLTensor*) {}

  std::shared_ptr<Mapping> mapping;
  size_t start;
};

DLDataType TypeOf(char kind, int bytes) {
  const auto bits = static_cast<uint8_t>(8 * bytes);
  switch (kind) {
    case 'f':
      return {kDLFloat, bits, 1};
    case 'i':
      return {kDLInt, bits, 1};
    case 'u':
      return {kDLUInt, bits, 1};
    default:
      throw std::runtime_error("the program has weights of a type that this example does not read");
  }
}

Tensor ReadArray(const std::shared_ptr<Mapping>& mapping, size_t place) {
  static const std::regex kHeader(R"('descr': '[<|]([a-zA-Z])(\d+)'.*'shape': \(([^)]*)\))");
  static const std::regex kNumber(R"(\d+)");
  if (place + kPreamble > mapping->size) Damaged();
  const char* begin = mapping->data + place;
  uint16_t length = 0;
  std::memcpy(&length, begin + kPreamble - sizeof(length), sizeof(length));
  if (std::memcmp(begin, "\x93NUMPY\x01", 7) != 0 || place + kPreamble + length > mapping->size) Damaged();
  std::smatch found;
  const std::string header(begin + kPreamble, length);
  if (!std::regex_search(header, found, kHeader)) Damaged();
  std::vector<int64_t> shape;
  const std::string dims = found[3];
  for (std::sregex_iterator dim(dims.begin(), dims.end(), kNumber), end; dim != end; ++dim) {
    shape.push_back(std::stoll(dim->str()));
  }
  const size_t start = place + kPreamble + length;
  const Tensor tensor =
      Tensor::FromNDAlloc(Piece{mapping, start}, tvm::ffi::ShapeView(shape.data(), shape.size()),
                          TypeOf(found[1].str()[0], std::stoi(found[2])), DLDevice{kDLCPU, 0});
  if (start + tvm::ffi::GetDataSize(tensor) > mapping->size) Damaged();
  return tensor;
}

}  // namespace

std::vector<Tensor> ReadWeights(const std::filesystem::path& path, const std::vector<int64_t>& places) {
  std::vector<Tensor> weights;
  if (places.empty()) return weights;
  const auto mapping = std::make_shared<Mapping>(path);
  for (const int64_t place : places) weights.push_back(ReadArray(mapping, static_cast<size_t>(place)));
  return weights;
}

}  // namespace graphopt
