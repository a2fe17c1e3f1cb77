// airloom validate X.air [--working-dir D] | --list-rules
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
  std::string working_dir = ".";
  bool list_rules = false;
};

int list_rules() {
  for (const air::Rule& rule : air::rules()) fmt::print("{:<24}{}\n", rule.id, rule.text);
  return kOk;
}

std::string plural(std::size_t count, std::string_view what) { return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s"); }

int validate(const Arguments& arguments) {
  const auto violations = air::validate_file(arguments.path, arguments.working_dir);
  if (!violations) return report(violations.error());
  for (const air::Violation& violation : *violations) {
    fmt::print("{}: {} [{}]\n", violation.node.empty() ? arguments.path : violation.node, violation.message, violation.rule);
  }
  if (!violations->empty()) return kNegative;

  const auto module = air::read(arguments.path);
  if (!module) return report(module.error());
  std::size_t nodes = 0;
  for (const ir::Graph& graph : module->graphs) {
    for (ir::NodeId id = 0; id < graph.arena_size(); ++id) nodes += graph.node(id).erased ? 0 : 1;
  }
  const ir::Graph& root = module->root();
  fmt::print("{}: valid, {}, {}, {}\n", arguments.path, plural(nodes, "node"), plural(root.inputs().size(), "input"),
             plural(root.node(root.net_output()).inputs.size(), "output"));
  return kOk;
}

}  // namespace

Action validate_verb(CLI::App& parser) {
  const auto arguments = std::make_shared<Arguments>();
  auto* path = parser.add_option("file", arguments->path, "The .air file");
  parser.add_option("--working-dir", arguments->working_dir, "Where the compiler will run: relative paths of weight files start there")
      ->capture_default_str();
  parser.add_flag("--list-rules", arguments->list_rules, "Print the rules instead");
  parser.footer("Exit code: 0 valid, 1 rules are broken (one line for each), 2 the file cannot be read.");
  parser.final_callback([arguments, path] {
    if (!arguments->list_rules && path->count() == 0) throw CLI::RequiredError("file");
  });
  return [arguments] { return arguments->list_rules ? list_rules() : validate(*arguments); };
}

}  // namespace airloom::cli
