#include "cli/run/ranks.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

namespace airloom::cli {

namespace {

namespace fs = std::filesystem;

/// Private to the user, removed with everything in it.
class Folder {
 public:
  Folder() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "airloom-ranks-XXXXXX").string();
    if (!error && ::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::vector<std::string> own_command_line() {
  std::vector<std::string> out;
  const std::string all = content("/proc/self/cmdline");
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find('\0', at), all.size());
    out.push_back(all.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

struct Rank {
  pid_t pid = 0;
  bool ended = false;
  int status = 0;
  fs::path out, err;

  [[nodiscard]] bool failed() const { return ended && status != 0; }
};

Status start(Rank& rank, int number, int count, const fs::path& folder, const sigset_t& signals) {
  rank.out = folder / fmt::format("rank{}.out", number);
  rank.err = folder / fmt::format("rank{}.err", number);
  std::vector<std::string> command = own_command_line();
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "AIRLOOM_", 8) != 0) environment.emplace_back(*entry);
  }
  environment.push_back(fmt::format("AIRLOOM_STORE={}", (folder / "store").string()));
  environment.push_back(fmt::format("AIRLOOM_RANK={}", number));
  environment.push_back(fmt::format("AIRLOOM_WORLD_SIZE={}", count));
  environment.push_back(fmt::format("AIRLOOM_STARTED_BY={}", ::getpid()));
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, rank.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, rank.err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &signals);
  const int failure =
      ::posix_spawn(&rank.pid, "/proc/self/exe", &files, &attributes, pointers(command).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0)
    return fail(Errc::kRuntime, fmt::format("cannot be started: {}", std::strerror(failure)), fmt::format("rank {}", number));
  return {};
}

/// Notes the ranks that have ended; returns how many still run.
std::size_t collect(std::vector<Rank>& ranks, std::vector<std::size_t>& failures) {
  std::size_t running = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    Rank& rank = ranks[i];
    if (rank.pid <= 0 || rank.ended) continue;
    int status = 0;
    if (::waitpid(rank.pid, &status, WNOHANG) != rank.pid) {
      ++running;
      continue;
    }
    rank.ended = true;
    rank.status = status;
    if (rank.failed()) failures.push_back(i);
  }
  return running;
}

void end_all(std::vector<Rank>& ranks) {
  for (Rank& rank : ranks) {
    if (rank.pid <= 0 || rank.ended) continue;
    ::kill(rank.pid, SIGKILL);
    while (::waitpid(rank.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    rank.ended = true;
  }
}

std::string describe(const Rank& rank, std::size_t number) {
  std::string said = trimmed(content(rank.err));
  if (said.rfind("airloom: ", 0) == 0) said = said.substr(9);
  std::string how;
  if (WIFSIGNALED(rank.status)) {
    how = fmt::format("was ended by signal {} ({})", WTERMSIG(rank.status), ::strsignal(WTERMSIG(rank.status)));
  } else {
    how = fmt::format("failed with exit code {}", WEXITSTATUS(rank.status));
  }
  return said.empty() ? fmt::format("rank {} {}", number, how) : fmt::format("rank {} {}: {}", number, how, said);
}

}  // namespace

void end_with_starter() {
  const char* starter = std::getenv("AIRLOOM_STARTED_BY");
  if (starter == nullptr) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (std::to_string(::getppid()) != starter) std::_Exit(kFailed);  // it ended before the line above
}

Result<int> run_ranks(int count) {
  const Folder folder;
  if (folder.path().empty()) return fail(Errc::kIo, fmt::format("no temporary folder: {}", std::strerror(errno)), "TMPDIR");
  std::error_code error;
  if (!fs::create_directory(folder.path() / "store", error)) return fail(Errc::kIo, error.message(), folder.path().string());

  // Ends of ranks and interrupts are taken one by one here, so that nothing is left behind.
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { ::sigprocmask(SIG_SETMASK, &mask, nullptr); }
  } const restore{before};

  std::vector<Rank> ranks(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    if (const Status started = start(ranks[static_cast<std::size_t>(i)], i, count, folder.path(), before); !started) {
      end_all(ranks);
      return tl::unexpected(started.error());
    }
  }
  std::vector<std::size_t> failures;  // in the order they were seen
  const auto wait = [&wanted](long milliseconds) {
    const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1000000};
    return ::sigtimedwait(&wanted, nullptr, &time);
  };
  while (collect(ranks, failures) != 0 && failures.empty()) {
    const int signal = wait(1000);
    if (signal > 0 && signal != SIGCHLD) {
      end_all(ranks);
      return fail(Errc::kRuntime, fmt::format("ended by signal {} ({})", signal, ::strsignal(signal)));
    }
  }
  if (!failures.empty()) {
    // The others notice a lost connection at once; what they say may be the better half of the story.
    for (int i = 0; i < 10 && collect(ranks, failures) != 0; ++i) wait(50);
    end_all(ranks);
    // A rank that was killed, then in order of appearance.
    std::stable_partition(failures.begin(), failures.end(), [&](std::size_t i) { return WIFSIGNALED(ranks[i].status); });
    std::vector<std::string> lines;
    lines.reserve(failures.size());
    for (const std::size_t i : failures) lines.push_back(describe(ranks[i], i));
    return fail(Errc::kRuntime, fmt::format("{}", fmt::join(lines, "\n")));
  }
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::string said = trimmed(content(ranks[i].out));
    if (!said.empty()) fmt::print("rank {}:\n{}\n", i, said);
    const std::string warned = trimmed(content(ranks[i].err));
    if (!warned.empty()) fmt::print(stderr, "rank {}: {}\n", i, warned);
  }
  return static_cast<int>(kOk);
}

}  // namespace airloom::cli
