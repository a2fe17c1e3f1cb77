// airloom run: executes a .air on the CPU.
#ifdef AIRLOOM_RUN_LIBRARY
#include <memory>
#include <string>

#include <dlfcn.h>
#include <fmt/format.h>

#include "cli/cli.h"
#include "cli/run/arguments.h"

namespace airloom::cli {

namespace {

/// Opens the library, which needs OpenVINO, and lets it do the work.
Result<int> run(const RunArguments& arguments) {
  void* library = ::dlopen(AIRLOOM_RUN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  void* function = library != nullptr ? ::dlsym(library, "airloom_run") : nullptr;
  if (function == nullptr) {
    return fail(Errc::kRuntime, fmt::format("the CPU runtime is not available: {}", ::dlerror()), {},
                "pip install 'airloom[run]' (it needs openvino)");
  }
  Result<int> code = kFailed;
  reinterpret_cast<RunFunction*>(function)(arguments, code);
  return code;
}

}  // namespace

Action run_verb(CLI::App& parser) {
  const auto args = std::make_shared<RunArguments>();
  parser.add_option("air", args->air, "The .air file")->required();
  parser.add_option("--inputs", args->inputs, "Archive of input arrays, by input name or arr_0, arr_1, ...");
  parser.add_option("--outputs", args->outputs, "Where to write the outputs, by output name");
  parser.add_option("--repeat", args->repeat, "How many calls; more than one prints latencies")->check(CLI::Range(1, 1000000));
  parser.add_option("--threads", args->threads, "Threads of the plugin; 0: all processors")->check(CLI::Range(0, 4096));
  parser.add_option("--working-dir", args->working_dir, "Folder that weight paths are relative to");
  parser.add_option("--precision", args->precision, "exact: float32 inside; file: the file's own half type where the processor has it")
      ->check(CLI::IsMember({"exact", "file"}));
  parser.add_option("--dim", args->dim, "Size of dynamic dimensions of --random inputs")->check(CLI::Range(0, 1 << 30));
  parser.add_option("--ranks", args->ranks, "Start so many processes that run one model together; {} in the three file names is the rank")
      ->check(CLI::Range(1, 1024));
  parser.add_option("--timeout", args->timeout, "Seconds that a rank waits for the others")->check(CLI::Range(0.1, 1e6));
  parser.add_option("--seed", args->seed, "Seed of --random; every rank adds its number");
  parser.add_flag("--random", args->random, "Make up inputs that are not given");
  parser.add_flag("--profile", args->profile, "Print times by operator type and node");
  parser.add_flag("--reference", args->reference, "Every operator in the exact evaluator (slow)");
  return [args] {
    const Result<int> code = run(*args);
    return code ? *code : report(code.error());
  };
}

}  // namespace airloom::cli
#endif
