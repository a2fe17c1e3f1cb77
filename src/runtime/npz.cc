#include "runtime/npz.h"

#include <zlib.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>

#include "air/air.h"
#include "runtime/tensor.h"

namespace airloom::runtime {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 36;

struct NumpyType {
  DType dtype;
  const char* descr;
};
constexpr NumpyType kTypes[] = {
    {DType::kFloat, "<f4"},  {DType::kDouble, "<f8"}, {DType::kFloat16, "<f2"},   {DType::kInt8, "|i1"},        {DType::kInt16, "<i2"},
    {DType::kInt32, "<i4"},  {DType::kInt64, "<i8"},  {DType::kUInt8, "|u1"},     {DType::kUInt16, "<u2"},      {DType::kUInt32, "<u4"},
    {DType::kUInt64, "<u8"}, {DType::kBool, "|b1"},   {DType::kComplex64, "<c8"}, {DType::kComplex128, "<c16"},
};

/// Little-endian numbers of a byte string; nullopt past its end.
class Bytes {
 public:
  explicit Bytes(std::string_view data) : data_(data) {}
  template <class T>
  [[nodiscard]] std::optional<T> get(std::size_t at) const {
    if (at > data_.size() || data_.size() - at < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, data_.data() + at, sizeof(T));
    return value;
  }
  [[nodiscard]] std::optional<std::string_view> view(std::uint64_t at, std::uint64_t size) const {
    if (at > data_.size() || data_.size() - at < size) return std::nullopt;
    return data_.substr(at, size);
  }

 private:
  std::string_view data_;
};

[[noreturn]] void damaged(const std::string& what) { bad(Errc::kParse, what); }

/// The text after `'key':` in a .npy header.
std::string_view header_value(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) damaged(fmt::format("an array header without '{}'", key));
  std::string_view rest = header.substr(at + key.size() + 3);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest;
}

TensorBuf parse_npy(std::string_view data, const std::string& name) {
  const Bytes bytes(data);
  if (data.substr(0, 6) != std::string_view("\x93NUMPY", 6) || data.size() < 10) damaged(fmt::format("'{}' is not a NumPy array", name));
  const bool wide = data[6] >= 2;
  const auto size = wide ? bytes.get<std::uint32_t>(8) : std::optional<std::uint32_t>(bytes.get<std::uint16_t>(8));
  const std::size_t start = wide ? 12 : 10;
  const auto header = size ? bytes.view(start, *size) : std::nullopt;
  if (!header) damaged(fmt::format("'{}' has a cut header", name));
  if (header_value(*header, "fortran_order").substr(0, 5) != "False")
    bad(Errc::kUnsupported, fmt::format("'{}' is in Fortran order", name), {}, "save numpy.ascontiguousarray(...)");
  const std::string_view descr = header_value(*header, "descr");
  const NumpyType* type = nullptr;
  for (const NumpyType& row : kTypes) {
    if (descr.substr(0, std::strlen(row.descr) + 2) == fmt::format("'{}'", row.descr)) type = &row;
  }
  if (type == nullptr) bad(Errc::kUnsupported, fmt::format("'{}' has elements of type {}", name, descr.substr(0, descr.find(','))));
  std::string_view dims = header_value(*header, "shape");
  dims = dims.substr(0, dims.find(')'));
  Dims shape;
  for (std::size_t i = 0; i < dims.size();) {
    if (std::isdigit(static_cast<unsigned char>(dims[i])) == 0) {
      ++i;
      continue;
    }
    std::int64_t dim = 0;
    for (; i < dims.size() && std::isdigit(static_cast<unsigned char>(dims[i])) != 0; ++i) {
      if (__builtin_mul_overflow(dim, 10, &dim) || __builtin_add_overflow(dim, dims[i] - '0', &dim))
        damaged(fmt::format("'{}' has an impossible shape", name));
    }
    shape.push_back(dim);
  }
  const auto need = static_cast<std::uint64_t>(count(shape) * ir::item_size(type->dtype));
  const auto elements = bytes.view(start + *size, need);
  if (!elements) damaged(fmt::format("'{}' has fewer elements than its shape {} needs", name, dims_text(shape)));
  const Tensor out = allocate(type->dtype, shape);
  std::memcpy(writable(out), elements->data(), elements->size());
  return {out.dtype, out.shape, std::const_pointer_cast<void>(out.owner), elements->size()};
}

std::string inflate_all(std::string_view from, std::uint64_t size, const std::string& name) {
  if (size > kMaxBytes) damaged(fmt::format("'{}' claims {} bytes", name, size));
  std::string out(size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) damaged("zlib does not start");
  std::size_t done = 0;
  int state = Z_OK;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  std::size_t left = from.size();
  while (state == Z_OK && (done < out.size() || left > 0 || stream.avail_in > 0)) {
    constexpr std::size_t kStep = std::size_t{1} << 30;
    if (stream.avail_in == 0) {
      stream.avail_in = static_cast<uInt>(std::min(left, kStep));
      left -= stream.avail_in;
    }
    const std::size_t room = std::min(out.size() - done, kStep);
    char spare = 0;
    stream.next_out = reinterpret_cast<Bytef*>(room == 0 ? &spare : out.data() + done);
    stream.avail_out = static_cast<uInt>(room == 0 ? 1 : room);
    const uInt before = stream.avail_out;
    state = inflate(&stream, Z_NO_FLUSH);
    if (room == 0 && stream.avail_out == 0)
      state = Z_DATA_ERROR;  // more than announced
    else
      done += before - stream.avail_out;
  }
  inflateEnd(&stream);
  if (state != Z_STREAM_END || done != out.size()) damaged(fmt::format("'{}' is damaged", name));
  return out;
}

std::vector<std::pair<std::string, TensorBuf>> parse_npz(std::string_view data) {
  const Bytes bytes(data);
  std::size_t end = std::string_view::npos;
  for (std::size_t back = 22; back <= data.size() && back < 22 + 65536; ++back) {
    if (bytes.get<std::uint32_t>(data.size() - back) == 0x06054b50U) {
      end = data.size() - back;
      break;
    }
  }
  if (end == std::string_view::npos) damaged("not a zip archive");
  std::uint64_t entries = bytes.get<std::uint16_t>(end + 10).value_or(0);
  std::uint64_t at = bytes.get<std::uint32_t>(end + 16).value_or(0);
  if ((entries == 0xFFFF || at == 0xFFFFFFFFU) && end >= 20 && bytes.get<std::uint32_t>(end - 20) == 0x07064b50U) {  // zip64
    const std::uint64_t wide = bytes.get<std::uint64_t>(end - 12).value_or(UINT64_MAX);
    if (wide > data.size() || bytes.get<std::uint32_t>(wide) != 0x06064b50U) damaged("a zip64 record is missing");
    entries = bytes.get<std::uint64_t>(wide + 32).value_or(0);
    at = bytes.get<std::uint64_t>(wide + 48).value_or(UINT64_MAX);
  }
  std::vector<std::pair<std::string, TensorBuf>> out;
  for (std::uint64_t i = 0; i < entries; ++i) {
    if (at > data.size() || bytes.get<std::uint32_t>(at) != 0x02014b50U) damaged("the archive's directory is damaged");
    const std::uint16_t method = bytes.get<std::uint16_t>(at + 10).value_or(0xFFFF);
    std::uint64_t packed = bytes.get<std::uint32_t>(at + 20).value_or(0);
    std::uint64_t size = bytes.get<std::uint32_t>(at + 24).value_or(0);
    const std::uint16_t name_size = bytes.get<std::uint16_t>(at + 28).value_or(0);
    const std::uint16_t extra_size = bytes.get<std::uint16_t>(at + 30).value_or(0);
    const std::uint16_t comment_size = bytes.get<std::uint16_t>(at + 32).value_or(0);
    std::uint64_t local = bytes.get<std::uint32_t>(at + 42).value_or(0);
    const auto name_view = bytes.view(at + 46, name_size);
    if (!name_view) damaged("the archive's directory is cut");
    const std::uint64_t extra_end = at + 46 + name_size + extra_size;
    for (std::uint64_t e = at + 46 + name_size; e + 4 <= extra_end;) {
      const std::uint16_t id = bytes.get<std::uint16_t>(e).value_or(0);
      const std::uint16_t length = bytes.get<std::uint16_t>(e + 2).value_or(0);
      if (id == 1) {
        std::uint64_t field = e + 4;
        for (std::uint64_t* value : {&size, &packed, &local}) {
          if (*value != 0xFFFFFFFFU) continue;
          *value = bytes.get<std::uint64_t>(field).value_or(UINT64_MAX);
          field += 8;
        }
      }
      e += 4 + std::uint64_t{length};
    }
    std::string name(*name_view);
    if (local > data.size() || bytes.get<std::uint32_t>(local) != 0x04034b50U)
      damaged(fmt::format("'{}' is not where the directory says", name));
    const std::uint64_t body =
        local + 30 + bytes.get<std::uint16_t>(local + 26).value_or(0) + bytes.get<std::uint16_t>(local + 28).value_or(0);
    const auto content = bytes.view(body, packed);
    if (!content) damaged(fmt::format("'{}' is cut", name));
    std::string inflated;
    std::string_view array = *content;
    if (method == 8) {
      inflated = inflate_all(*content, size, name);
      array = inflated;
    } else if (method != 0) {
      bad(Errc::kUnsupported, fmt::format("'{}' is compressed by method {}", name, method));
    }
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    TensorBuf parsed = parse_npy(array, name);
    out.emplace_back(std::move(name), std::move(parsed));
    at = extra_end + comment_size;
  }
  return out;
}

template <class T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

Result<std::vector<std::pair<std::string, TensorBuf>>> read_npz(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  const std::string data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return fail(Errc::kIo, fmt::format("cannot read {}", path));
  try {
    return parse_npz(data);
  } catch (const Exception& error) {
    Error named = error.error();
    named.where = path;
    return tl::unexpected(named);
  }
}

Status write_npz(const std::string& path, const std::vector<std::pair<std::string, TensorBuf>>& arrays) {
  Result<air::AtomicFile> file = air::AtomicFile::create(path);
  if (!file) return tl::unexpected(file.error());
  std::string directory;
  std::uint64_t at = 0;
  for (const auto& [name, buf] : arrays) {
    Tensor tensor;
    tensor.dtype = buf.dtype;
    tensor.shape = buf.shape;
    tensor.data = static_cast<const std::byte*>(buf.data.get());
    tensor.owner = buf.data;
    if (tensor.dtype == DType::kBFloat16) tensor = cast(tensor, DType::kFloat);
    const char* descr = nullptr;
    for (const NumpyType& row : kTypes) {
      if (row.dtype == tensor.dtype) descr = row.descr;
    }
    if (descr == nullptr) return fail(Errc::kUnsupported, fmt::format("NumPy has no type for {}", ir::info(tensor.dtype).torch), name);
    std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr, fmt::join(tensor.shape, ", "),
                                     tensor.shape.size() == 1 ? "," : "");
    header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
    header += '\n';
    std::string npy("\x93NUMPY\x01\x00", 8);
    put(npy, static_cast<std::uint16_t>(header.size()));
    npy += header;
    const auto bytes = static_cast<std::uint64_t>(tensor.nbytes());
    uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(npy.data()), npy.size());
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(tensor.data), bytes);
    const std::uint64_t size = npy.size() + bytes;
    const std::string entry = name + ".npy";
    // Both records carry the zip64 sizes, so that one form serves arrays of every size.
    std::string local;
    put(local, std::uint32_t{0x04034b50});
    put(local, std::uint16_t{45});
    for (int i = 0; i < 2; ++i) put(local, std::uint16_t{0});  // flags, method
    put(local, std::uint32_t{0x00210000});                     // 1980-01-01
    put(local, static_cast<std::uint32_t>(crc));
    put(local, UINT32_MAX);
    put(local, UINT32_MAX);
    put(local, static_cast<std::uint16_t>(entry.size()));
    put(local, std::uint16_t{20});
    local += entry;
    put(local, std::uint16_t{1});
    put(local, std::uint16_t{16});
    put(local, size);
    put(local, size);
    put(directory, std::uint32_t{0x02014b50});
    put(directory, std::uint16_t{45});
    put(directory, std::uint16_t{45});
    for (int i = 0; i < 2; ++i) put(directory, std::uint16_t{0});
    put(directory, std::uint32_t{0x00210000});
    put(directory, static_cast<std::uint32_t>(crc));
    put(directory, UINT32_MAX);
    put(directory, UINT32_MAX);
    put(directory, static_cast<std::uint16_t>(entry.size()));
    put(directory, std::uint16_t{28});
    for (int i = 0; i < 3; ++i) put(directory, std::uint16_t{0});  // comment, disk, attributes
    put(directory, std::uint32_t{0});
    put(directory, UINT32_MAX);
    directory += entry;
    put(directory, std::uint16_t{1});
    put(directory, std::uint16_t{24});
    put(directory, size);
    put(directory, size);
    put(directory, at);
    for (const std::string_view part :
         {std::string_view(local), std::string_view(npy), std::string_view(reinterpret_cast<const char*>(tensor.data), bytes)}) {
      if (Status status = file->write(part.data(), part.size()); !status) return status;
      at += part.size();
    }
  }
  std::string tail;
  put(tail, std::uint32_t{0x06064b50});
  put(tail, std::uint64_t{44});
  put(tail, std::uint16_t{45});
  put(tail, std::uint16_t{45});
  put(tail, std::uint32_t{0});
  put(tail, std::uint32_t{0});
  put(tail, static_cast<std::uint64_t>(arrays.size()));
  put(tail, static_cast<std::uint64_t>(arrays.size()));
  put(tail, static_cast<std::uint64_t>(directory.size()));
  put(tail, at);
  put(tail, std::uint32_t{0x07064b50});
  put(tail, std::uint32_t{0});
  put(tail, at + directory.size());
  put(tail, std::uint32_t{1});
  put(tail, std::uint32_t{0x06054b50});
  put(tail, std::uint32_t{0});
  put(tail, static_cast<std::uint16_t>(std::min<std::size_t>(arrays.size(), 0xFFFF)));
  put(tail, static_cast<std::uint16_t>(std::min<std::size_t>(arrays.size(), 0xFFFF)));
  put(tail, static_cast<std::uint32_t>(std::min<std::uint64_t>(directory.size(), UINT32_MAX)));
  put(tail, UINT32_MAX);
  put(tail, std::uint16_t{0});
  if (Status status = file->write(directory.data(), directory.size()); !status) return status;
  if (Status status = file->write(tail.data(), tail.size()); !status) return status;
  return file->commit();
}

}  // namespace airloom::runtime
