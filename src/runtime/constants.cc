// Elements of Const and FileConstant nodes, mapped from where they are stored.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "runtime/exec.h"

namespace airloom::runtime {
namespace {

struct Mapping {
  const std::byte* data = nullptr;
  std::int64_t size = 0;
  std::shared_ptr<const void> owner;
};

Mapping map_file(const std::string& path, const std::string& where) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // does not wait for a pipe's writer
  if (fd < 0)
    bad(errno == ENOENT ? Errc::kNotFound : Errc::kIo, fmt::format("cannot open weight file {}: {}", path, std::strerror(errno)), where);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    bad(Errc::kIo, fmt::format("weight file {} is not a regular file", path), where);
  }
  Mapping out;
  out.size = info.st_size;
  if (out.size == 0) {
    ::close(fd);
    return out;
  }
  void* memory = ::mmap(nullptr, static_cast<std::size_t>(out.size), PROT_READ, MAP_PRIVATE, fd, 0);
  const int mapped = errno;
  ::close(fd);
  if (memory == MAP_FAILED) bad(Errc::kIo, fmt::format("cannot map weight file {}: {}", path, std::strerror(mapped)), where);
  const auto size = static_cast<std::size_t>(out.size);
  out.owner = std::shared_ptr<const void>(memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  out.data = static_cast<const std::byte*>(memory);
  return out;
}

/// Relative paths are looked for in each folder, the first hit wins.
std::string resolve(const std::string& path, const std::vector<std::string>& folders, const std::string& where) {
  namespace fs = std::filesystem;
  if (fs::path(path).is_absolute()) return path;
  std::error_code ignored;
  for (const std::string& folder : folders) {
    const fs::path candidate = fs::path(folder) / path;
    if (fs::exists(candidate, ignored)) return candidate.string();
  }
  bad(Errc::kNotFound, fmt::format("weight file {} is not in {}", path, fmt::join(folders, ", ")), where,
      "run from the folder the export was made in, or pass working_dir");
}

/// Elements at `offset` of a file; exact: the file must hold nothing else.
Tensor from_file(DType dtype, Dims shape, const std::string& path, std::int64_t offset, std::int64_t length, bool exact,
                 const std::string& where) {
  Tensor out;
  out.dtype = dtype;
  out.shape = std::move(shape);
  const std::int64_t need = out.nbytes();
  if (length != 0 && length != need)
    bad(Errc::kInvalidGraph, fmt::format("{} bytes of weight file {} are recorded, shape and type need {}", length, path, need), where);
  const Mapping file = map_file(path, where);
  if (offset < 0 || offset > file.size || file.size - offset < need || (exact && file.size != need)) {
    bad(Errc::kIo, fmt::format("weight file {} has {} bytes, {} at offset {} are needed", path, file.size, need, offset), where,
        "the file is truncated or belongs to another export");
  }
  if (need == 0) return zeros(dtype, out.shape);
  out.data = file.data + offset;
  out.owner = file.owner;
  return out;
}

/// Small ones at multiples of their element size, for code that reads them in place. Large ones stay where they are mapped: elements inside
/// a protobuf start at any byte, the plugin takes them so, and the exact evaluator reads bytes.
Tensor placed(Tensor tensor) {
  constexpr std::int64_t kSmall = 1 << 20;
  return tensor.nbytes() <= kSmall ? aligned(std::move(tensor)) : tensor;
}

Tensor elements(const ir::Graph& graph, ir::NodeId id, const Options& options) {
  const ir::Node& node = graph.node(id);
  const NodeView view(node);
  if (node.type == "FileConstant") {
    const DType dtype = view.attr_dtype("dtype");
    if (ir::item_size(dtype) == 0)
      bad(Errc::kUnsupported, fmt::format("element type {} cannot be computed with", ir::info(dtype).ge), node.name);
    const Dims shape = view.attr_ints("shape");
    const std::string location = view.attr_string("location", "");
    const std::string folder = options.directory.empty() ? "." : options.directory;
    const std::string parent = (std::filesystem::path(folder) / "..").string();
    if (!location.empty()) {
      return placed(from_file(dtype, shape, resolve(location, {options.working_dir, parent, folder}, node.name), view.attr_int("offset", 0),
                              view.attr_int("length", 0), false, node.name));
    }
    const std::string path = view.attr_string("file_path", "");
    if (path.empty()) bad(Errc::kInvalidGraph, "FileConstant has neither location nor file_path", node.name);
    return placed(from_file(dtype, shape, resolve(path, {options.working_dir, parent, folder}, node.name), 0, 0, false, node.name));
  }
  const ir::TensorRef value = ir::const_value(graph, id);
  const DType dtype = value == nullptr ? view.out_dtype(0) : value->dtype;
  if (ir::item_size(dtype) == 0)
    bad(Errc::kUnsupported, fmt::format("element type {} cannot be computed with", ir::info(dtype).ge), node.name);
  if (const std::string location = view.attr_string("location", ""); !location.empty()) {
    if (std::filesystem::path(location).is_absolute())
      bad(Errc::kInvalidGraph, fmt::format("a Const's location must be relative, not {}", location), node.name);
    const std::string path = (std::filesystem::path(options.directory.empty() ? "." : options.directory) / location).string();
    const Dims shape = value == nullptr ? node.outputs[0].type.dims() : value->shape;
    return placed(from_file(dtype, shape, path, 0, view.attr_int("length", 0), true, node.name));
  }
  if (value == nullptr) bad(Errc::kInvalidGraph, "Const has no value", node.name);
  Tensor out;
  out.dtype = value->dtype;
  out.shape = value->shape;
  const std::int64_t n = out.numel();  // checks the shape
  if (n == 0) return zeros(out.dtype, out.shape);
  if (value->data == nullptr) bad(Errc::kInvalidGraph, "Const has no elements", node.name);
  if (!value->dense()) {
    const std::vector<std::byte> bytes = value->bytes();
    out = allocate(out.dtype, out.shape);
    std::memcpy(writable(out), bytes.data(), bytes.size());
    return out;
  }
  out.data = value->data;
  out.owner = value;
  return placed(out);
}

}  // namespace

Tensor load_constant(const ir::Graph& graph, ir::NodeId id, const Options& options) {
  try {
    return elements(graph, id, options);
  } catch (const Exception& error) {
    if (!error.error().where.empty()) throw;
    Error named = error.error();
    named.where = graph.node(id).name;
    throw Exception(named);
  }
}

}  // namespace airloom::runtime
