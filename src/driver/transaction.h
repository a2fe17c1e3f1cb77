// Files that appear together or not at all.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "air/air.h"
#include "airloom/error.h"

namespace airloom::driver {

/// Every file is written under a temporary name; commit() gives all of them their own names. A transaction that is destroyed without a
/// commit leaves nothing. Existing files are replaced by commit() only. One thread at a time.
class Transaction {
 public:
  Transaction() = default;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  /// Starts a file. Fails with kIo when its folder cannot be written or something else than a file has that name, with kInvalidArgument
  /// when this transaction has a file of that name already. The pointer is good until commit().
  Result<air::AtomicFile*> add(const std::string& path);
  /// The same for a file that is to be read back before the commit.
  Result<air::AtomicFile*> add_readable(const std::string& path);
  /// Finishes an add_readable() file and returns the name that it can be read under until commit().
  Result<std::string> finish(air::AtomicFile* file);

  /// Brings every file to the disk, then renames them, the first one added last: it may name the others. When a rename fails, the files
  /// that were renamed before it and are new are removed again.
  Status commit();

 private:
  struct Entry {
    std::string path;
    bool existed;         // before this transaction
    std::string staging;  // not empty: the file's own target, to be renamed to `path`
    air::AtomicFile file;
    bool finished = false;
  };

  Result<air::AtomicFile*> add(const std::string& path, const std::string& staging);
  void remove_committed(std::size_t first);

  std::deque<Entry> entries_;  // a deque: pointers to files stay valid
};

}  // namespace airloom::driver
