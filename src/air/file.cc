// A file that appears under its name only when it is complete.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "air/air.h"

namespace airloom::air {

namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr std::size_t kMaxNameInTemporary = 200;  // leaves room for the decoration within the file system's 255 bytes

tl::unexpected<Error> io_error(std::string_view what, const std::string& path, int code) {
  return fail(Errc::kIo, fmt::format("cannot {}: {}", what, std::strerror(code)), path);
}

Status write_all(int fd, const char* data, std::size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      return io_error("write", path, errno);
    }
    if (n == 0) return io_error("write", path, ENOSPC);
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return fail(Errc::kInvalidArgument, "this is not a file name", path);
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    if (S_ISLNK(info.st_mode))
      return fail(Errc::kIo, "cannot write: the target is a symbolic link", path, "remove it or name another file");
    if (S_ISDIR(info.st_mode)) return fail(Errc::kIo, "cannot write: the target is a directory", path, "name a file");
    if (!S_ISREG(info.st_mode)) return fail(Errc::kIo, "cannot write: the target is not a regular file", path, "name another file");
  } else if (errno != ENOENT) {
    return io_error("write", path, errno);
  }
  constexpr int kAttempts = 1000;
  for (int k = 0; k < kAttempts; ++k) {
    std::string temporary = fmt::format("{}.{}.tmp-{}-{}", folder, name.substr(0, kMaxNameInTemporary), ::getpid(), k);
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return io_error("create a temporary file for", path, errno);
    AtomicFile file;
    file.fd_ = fd;
    file.path_ = path;
    file.temporary_ = std::move(temporary);
    file.buffer_.reserve(kBuffer);
    return file;
  }
  return fail(Errc::kIo, "cannot write: every temporary name is taken", path, fmt::format("remove the old {}.*.tmp-* files", folder));
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      flushed_(other.flushed_),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      buffer_(std::move(other.buffer_)) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

namespace {

/// Starts writing out each piece while the next one is copied, so that the final fsync finds little left to wait for.
Status write_large(int fd, const char* data, std::size_t size, const std::string& path) {
  constexpr std::size_t kPiece = std::size_t{8} << 20;
  for (std::size_t from = 0; from < size; from += kPiece) {
    const std::size_t count = std::min(kPiece, size - from);
    const off_t start = ::lseek(fd, 0, SEEK_CUR);
    if (auto ok = write_all(fd, data + from, count, path); !ok) return ok;
    // A hint: flush() reports the errors of writing out.
    if (start >= 0) (void)::sync_file_range(fd, start, static_cast<off_t>(count), SYNC_FILE_RANGE_WRITE);
  }
  return {};
}

}  // namespace

Status AtomicFile::write(const void* data, std::size_t size) {
  if (fd_ < 0 || flushed_) return fail(Errc::kInvalidArgument, "the file is already closed", path_);
  const char* bytes = static_cast<const char*>(data);
  if (buffer_.size() + size > kBuffer) {
    if (auto ok = write_all(fd_, buffer_.data(), buffer_.size(), path_); !ok) return ok;
    buffer_.clear();
    if (size >= kBuffer) return write_large(fd_, bytes, size, path_);
  }
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  return {};
}

Status AtomicFile::flush() {
  if (flushed_) return {};
  if (fd_ < 0) return fail(Errc::kInvalidArgument, "the file is already closed", path_);
  if (auto ok = write_all(fd_, buffer_.data(), buffer_.size(), path_); !ok) return ok;
  buffer_ = {};
  if (::fsync(fd_) != 0) return io_error("write out", path_, errno);
  if (::close(std::exchange(fd_, -1)) != 0) return io_error("close", path_, errno);
  flushed_ = true;
  return {};
}

Status AtomicFile::commit() {
  if (temporary_.empty()) return fail(Errc::kInvalidArgument, "the file is already committed", path_);
  if (auto ok = flush(); !ok) return ok;
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return io_error("rename the finished file to", path_, errno);
  temporary_.clear();
  return {};
}

}  // namespace airloom::air
