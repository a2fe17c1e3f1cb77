#include "driver/transaction.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace airloom::driver {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxNameInStaging = 150;  // leaves room for two decorations within the file system's 255 bytes

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

}  // namespace

Transaction::~Transaction() {
  for (const Entry& entry : entries_) {
    if (entry.finished && !entry.staging.empty()) ::unlink(entry.staging.c_str());
  }
}

Result<air::AtomicFile*> Transaction::add(const std::string& path) { return add(path, ""); }

Result<air::AtomicFile*> Transaction::add_readable(const std::string& path) {
  // The probe refuses what a file cannot replace (a folder, a link); it goes away at the end of this function.
  if (const auto probe = air::AtomicFile::create(path); !probe) return tl::unexpected(probe.error());
  const fs::path target(path);
  const auto self = reinterpret_cast<std::uintptr_t>(this);  // unique among the transactions that live in this process
  const std::string name =
      fmt::format(".{}.new-{}-{:x}-{}", target.filename().string().substr(0, kMaxNameInStaging), ::getpid(), self, entries_.size());
  return add(path, (target.parent_path() / name).string());
}

Result<air::AtomicFile*> Transaction::add(const std::string& path, const std::string& staging) {
  const fs::path normal = fs::path(path).lexically_normal();
  for (const Entry& entry : entries_) {
    if (fs::path(entry.path).lexically_normal() == normal)
      return fail(Errc::kInvalidArgument, "two files of this export have the same path", path, "give them different names");
  }
  auto file = air::AtomicFile::create(staging.empty() ? path : staging);
  if (!file) return tl::unexpected(file.error());
  entries_.push_back({path, exists(path), staging, std::move(*file)});
  return &entries_.back().file;
}

Result<std::string> Transaction::finish(air::AtomicFile* file) {
  for (Entry& entry : entries_) {
    if (&entry.file != file || entry.staging.empty()) continue;
    if (auto ok = entry.file.commit(); !ok) return tl::unexpected(ok.error());
    entry.finished = true;
    return entry.staging;
  }
  return fail(Errc::kInvalidArgument, "this file cannot be read before the commit", file == nullptr ? "" : file->path());
}

void Transaction::remove_committed(std::size_t first) {
  for (std::size_t i = first; i < entries_.size(); ++i) {
    if (!entries_[i].existed) ::unlink(entries_[i].path.c_str());
  }
}

Status Transaction::commit() {
  for (Entry& entry : entries_) {
    if (!entry.staging.empty() && !entry.finished) {
      if (auto ok = finish(&entry.file); !ok) return tl::unexpected(ok.error());
    } else if (entry.staging.empty()) {
      if (auto ok = entry.file.flush(); !ok) return ok;
    }
  }
  for (std::size_t i = entries_.size(); i-- > 0;) {
    Entry& entry = entries_[i];
    Status ok;
    if (entry.staging.empty()) {
      ok = entry.file.commit();
    } else if (std::rename(entry.staging.c_str(), entry.path.c_str()) != 0) {
      ok = fail(Errc::kIo, fmt::format("cannot rename the finished file: {}", std::strerror(errno)), entry.path);
    }
    if (!ok) {
      remove_committed(i + 1);
      return ok;
    }
    entry.staging.clear();
  }
  entries_.clear();
  return {};
}

}  // namespace airloom::driver
