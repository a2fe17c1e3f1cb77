// airloom inspect X.air [--json]
#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "air/air.h"
#include "cli/cli.h"

namespace airloom::cli {

namespace {

struct Arguments {
  std::string path;
  bool json = false;
};

int inspect(const Arguments& arguments) {
  std::vector<air::Violation> notes;  // a broken file is worth a look too
  const auto module = air::read(arguments.path, &notes);
  if (!module) return report(module.error());
  if (arguments.json) {
    fmt::print("{}\n", air::inspect_json(*module));
  } else {
    fmt::print("{}", air::inspect_text(*module));
  }
  if (!notes.empty()) {
    fmt::print(stderr, "airloom: {} in {} had to be repaired or left out; airloom validate lists them\n",
               notes.size() == 1 ? "1 place" : fmt::format("{} places", notes.size()), arguments.path);
  }
  return kOk;
}

}  // namespace

Action inspect_verb(CLI::App& parser) {
  const auto arguments = std::make_shared<Arguments>();
  parser.add_option("file", arguments->path, "The .air file")->required();
  parser.add_flag("--json", arguments->json, "JSON: inputs, outputs, nodes, op_counts, weight_bytes, external_files");
  parser.footer("Inputs of nodes are \"node:output\", control inputs \"node:-1\", unfed slots \"\".");
  return [arguments] { return inspect(*arguments); };
}

}  // namespace airloom::cli
