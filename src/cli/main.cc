#include "cli/cli.h"

#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace airloom::cli {

namespace {

constexpr Verb kVerbs[] = {
    {"convert", "Convert a captured program to a .air file", convert_verb},
    {"inspect", "Show what a .air file holds", inspect_verb},
    {"validate", "List every rule that a .air file breaks", validate_verb},
#ifdef AIRLOOM_RUN_LIBRARY
    {"run", "Execute a .air file on the CPU, on one rank or several", run_verb},
#endif
};

int run(int argc, const char* const* argv) {
  CLI::App app("airloom: PyTorch models as offline Ascend graphs, without an NPU", "airloom");
  app.set_version_flag("--version", std::string(kVersion));
  app.require_subcommand(1);
  std::vector<std::pair<const CLI::App*, Action>> actions;
  for (const Verb& verb : kVerbs) {
    CLI::App* parser = app.add_subcommand(verb.name, verb.summary);
    actions.emplace_back(parser, verb.declare(*parser));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kFailed;  // --help and --version are "errors" of code 0
  }
  for (const auto& [parser, action] : actions) {
    if (parser->parsed()) return action();
  }
  return kFailed;
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "airloom: {}\n", error.text());
  return kFailed;
}

}  // namespace airloom::cli

int main(int argc, char** argv) {
  try {
    return airloom::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fputs("airloom: ", stderr);
    std::fputs(error.what(), stderr);
    std::fputs("\n", stderr);
    return airloom::cli::kFailed;
  }
}
