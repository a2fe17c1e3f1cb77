// airloom convert program.json -o DIR
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "cli/cli.h"
#include "driver/export.h"

namespace airloom::cli {

namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string program;
  std::string directory;
  std::string name = "export";
  std::string external = "auto";
};

Result<std::string> read_text(const std::string& path) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) return fail(Errc::kNotFound, "there is no such file", path);
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) return fail(Errc::kIo, "cannot read", path);
  return text;
}

int convert(const Arguments& arguments) {
  const auto message = read_text(arguments.program);
  if (!message) return report(message.error());
  std::error_code code;
  const bool made = fs::create_directory(arguments.directory, code);
  if (code)
    return report({Errc::kIo, "cannot make the folder: " + code.message(), arguments.directory, "name a folder whose parent exists"});

  driver::ExportOptions options;
  options.directory = options.recorded_dir = arguments.directory;
  options.air_path = (fs::path(arguments.directory) / (arguments.name + ".air")).string();
  options.pbtxt_path = (fs::path(arguments.directory) / "dynamo.pbtxt").string();
  options.external = arguments.external == "always"  ? weights::External::kAlways
                     : arguments.external == "never" ? weights::External::kNever
                                                     : weights::External::kAuto;
  const auto done = driver::export_program(*message, {}, options);
  if (!done) {
    if (made) fs::remove(arguments.directory, code);  // only when empty; what went wrong first is the error to show
    return report(done.error());
  }
  for (const std::string& warning : done->warnings) fmt::print(stderr, "airloom: warning: {}\n", warning);
  fmt::print("{}: {} nodes, {} bytes of constants, {} weight files\n", done->air, done->nodes, done->weight_bytes,
             done->weight_files.size());
  return kOk;
}

}  // namespace

Action convert_verb(CLI::App& parser) {
  const auto arguments = std::make_shared<Arguments>();
  parser.add_option("program", arguments->program, "A captured program (airloom.capture(...).save)")->required();
  parser.add_option("-o,--output", arguments->directory, "Folder of the files, made if missing")->required();
  parser.add_option("--name", arguments->name, "Base name of the .air file")->capture_default_str()->check([](const std::string& name) {
    return name.empty() || name.find('/') != std::string::npos ? std::string("not the name of a file") : std::string();
  });
  parser
      .add_option("--external-weights", arguments->external,
                  "Weights in files of their own: auto (when the .air would be too large), always, never")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "always", "never"}));
  parser.footer("Exit code: 0 written, 2 nothing is written.");
  return [arguments] { return convert(*arguments); };
}

}  // namespace airloom::cli
