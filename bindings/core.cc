// The extension module airloom._core: arguments in, driver calls without the GIL, results and errors out.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "air/air.h"
#include "convert/registry.h"
#include "driver/export.h"
#include "ir/graph.h"
#include "text.h"

namespace nb = nanobind;

namespace {

using airloom::Errc;
using airloom::Error;
using airloom::convert::UnsupportedOp;
using airloom::driver::ExportOptions;
using airloom::driver::ExportReport;
using airloom::driver::Failure;

nb::list rows_of(const std::vector<UnsupportedOp>& rows) {
  nb::list out;
  for (const UnsupportedOp& row : rows) {
    nb::dict item;
    item["target"] = row.target;
    item["count"] = row.count;
    item["module"] = row.module;
    item["source"] = row.source;
    item["reason"] = row.reason;
    out.append(item);
  }
  return out;
}

/// The module's exception classes.
class Errors {
 public:
  explicit Errors(nb::module_& m)
      : core_(make(m, "CoreError", PyExc_Exception, "An error of the core: code, where, hint; args[0] says what is wrong.")),
        unsupported_(make(m, "UnsupportedError", core_.ptr(), "Operators without a converter, all of them in rows.")) {}

  [[noreturn]] void raise(const Error& error) const { raise(core_, error, {}); }
  [[noreturn]] void raise(const Failure& error) const {
    if (error.unsupported.empty()) raise(core_, error, {});
    raise(unsupported_, error, rows_of(error.unsupported));
  }
  /// The value, or the error as a Python exception.
  template <class T, class E>
  T value(tl::expected<T, E> result) const {
    if (!result) raise(result.error());
    return std::move(*result);
  }

 private:
  static nb::object make(nb::module_& m, const char* name, PyObject* base, const char* doc) {
    const std::string full = fmt::format("{}.{}", nb::cast<std::string>(m.attr("__name__")), name);
    PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), doc, base, nullptr);
    if (type == nullptr) throw nb::python_error();
    nb::object out = nb::steal(type);
    m.attr(name) = out;
    return out;
  }
  [[noreturn]] static void raise(const nb::object& type, const Error& error, const nb::object& rows) {
    const nb::object instance = type(airloom::bindings::text_of(error.message));
    instance.attr("code") = std::string(airloom::to_string(error.code));
    instance.attr("where") = airloom::bindings::text_of(error.where);
    instance.attr("hint") = airloom::bindings::text_of(error.hint);
    if (rows.is_valid()) instance.attr("rows") = rows;
    PyErr_SetObject(type.ptr(), instance.ptr());
    throw nb::python_error();
  }

  nb::object core_, unsupported_;
};

/// The weights' memory and the Python objects that own it. Must be destroyed with the GIL held: outlives every gil_scoped_release beside
/// it.
class Weights {
 public:
  Weights(const nb::sequence& items, const Errors& errors) {
    for (const nb::handle item : items) {
      std::pair<std::uintptr_t, nb::object> row;
      if (!nb::try_cast(item, row))
        errors.raise(Error{Errc::kInvalidArgument, "a weight is a pair of an address and the object that owns it",
                           fmt::format("weights[{}]", memory_.size()), ""});
      // The owners are held here and not by the tensors, which may be dropped while the GIL is released.
      memory_.push_back({reinterpret_cast<const std::byte*>(row.first), nullptr});
      owners_.push_back(std::move(row.second));
    }
  }
  [[nodiscard]] const std::vector<airloom::program::WeightMemory>& memory() const { return memory_; }

 private:
  std::vector<airloom::program::WeightMemory> memory_;
  std::vector<nb::object> owners_;
};

/// Reads the options' dict into the driver's struct.
class OptionReader {
 public:
  OptionReader(const nb::dict& options, const Errors& errors) : errors_(errors) {
    for (const auto& [key, value] : options) {
      std::string name;
      if (!nb::try_cast(key, name)) errors_.raise(Error{Errc::kInvalidArgument, "an option's name is not a text", "options", ""});
      read(name, value);
    }
  }
  [[nodiscard]] const ExportOptions& options() const { return out_; }

 private:
  void read(const std::string& name, nb::handle value) {
    if (name == "directory") return take(name, value, out_.directory);
    if (name == "air_path") return take(name, value, out_.air_path);
    if (name == "pbtxt_path") return take(name, value, out_.pbtxt_path);
    if (name == "recorded_dir") return take(name, value, out_.recorded_dir);
    if (name == "record_module_stack") return take(name, value, out_.record_module_stack);
    if (name == "json_dir") return take(name, value, out_.json_dir);
    if (name == "json_name") return take(name, value, out_.json_name);
    if (name == "disabled_passes") return take(name, value, out_.disabled_passes);
    if (name == "inline_limit") return take(name, value, out_.inline_limit);
    if (name == "external") return external(name, value);
    errors_.raise(Error{Errc::kInvalidArgument, "there is no option of this name", name, ""});
  }
  template <class T>
  void take(const std::string& name, nb::handle value, T& to) {
    if (!nb::try_cast(value, to)) errors_.raise(Error{Errc::kInvalidArgument, "the option's value has another type", name, ""});
  }
  void external(const std::string& name, nb::handle value) {
    using airloom::weights::External;
    std::string text;
    take(name, value, text);
    if (text == "auto") {
      out_.external = External::kAuto;
    } else if (text == "always") {
      out_.external = External::kAlways;
    } else if (text == "never") {
      out_.external = External::kNever;
    } else {
      errors_.raise(
          Error{Errc::kInvalidArgument, fmt::format("\"{}\" is not a way to store weights", text), name, "one of auto, always, never"});
    }
  }

  const Errors& errors_;
  ExportOptions out_;
};

std::string_view view(const nb::bytes& bytes) { return {static_cast<const char*>(bytes.data()), bytes.size()}; }

/// A listener that lets Ctrl-C through, also when nobody listens. Called without the GIL; keeps references to its arguments only.
airloom::driver::Progress listener(const nb::object& callback) {
  return [&callback](std::string_view stage, std::int64_t done, std::int64_t total) {
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (!callback.is_none()) callback(nb::str(stage.data(), stage.size()), done, total);
  };
}

nb::dict report_of(const ExportReport& report) {
  nb::dict counts, timings, out;
  for (const auto& [type, count] : report.op_counts) counts[type.c_str()] = count;
  for (const auto& [stage, seconds] : report.timings) timings[stage.c_str()] = seconds;
  out["air"] = report.air;
  out["pbtxt"] = report.pbtxt;
  out["weight_files"] = report.weight_files;
  out["json_files"] = report.json_files;
  out["nodes"] = report.nodes;
  out["op_counts"] = counts;
  out["timings"] = timings;
  out["weight_bytes"] = report.weight_bytes;
  out["warnings"] = report.warnings;
  return out;
}

nb::dict export_program(const Errors& errors, const nb::bytes& message, const nb::sequence& weights, const nb::dict& options,
                        const nb::object& progress) {
  const Weights held(weights, errors);
  const OptionReader reader(options, errors);
  return report_of(errors.value([&] {
    const nb::gil_scoped_release free;
    return airloom::driver::export_program(view(message), held.memory(), reader.options(), listener(progress));
  }()));
}

nb::list unsupported(const Errors& errors, const nb::bytes& message, const nb::sequence& weights) {
  const Weights held(weights, errors);
  return rows_of(errors.value([&] {
    const nb::gil_scoped_release free;
    return airloom::driver::unsupported(view(message), held.memory());
  }()));
}

std::string convert_text(const Errors& errors, const nb::bytes& message, const nb::sequence& weights, const nb::dict& options) {
  const Weights held(weights, errors);
  const OptionReader reader(options, errors);
  return errors.value([&]() -> tl::expected<std::string, Failure> {
    const nb::gil_scoped_release free;
    const auto built = airloom::driver::build(view(message), held.memory(), reader.options());
    if (!built) return tl::unexpected<Failure>(built.error());
    return airloom::ir::print(built->module);
  }());
}

nb::list validate(const Errors& errors, const std::string& path, const std::string& working_dir) {
  const auto violations = errors.value([&] {
    const nb::gil_scoped_release free;
    return airloom::air::validate_file(path, working_dir);
  }());
  nb::list out;
  for (const airloom::air::Violation& violation : violations) {
    nb::dict item;
    item["rule"] = violation.rule;
    item["node"] = violation.node;
    item["message"] = violation.message;
    out.append(item);
  }
  return out;
}

std::string inspect_json(const Errors& errors, const std::string& path) {
  return errors.value([&]() -> airloom::Result<std::string> {
    const nb::gil_scoped_release free;
    // What a loader would drop is validate()'s business: show what there is.
    std::vector<airloom::air::Violation> notes;
    const auto module = airloom::air::read(path, &notes);
    if (!module) return tl::unexpected(module.error());
    return airloom::air::inspect_json(*module);
  }());
}

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the module definition inside the macro
NB_MODULE(_core, m) {
  m.doc() = "The C++ core of airloom. Use the package airloom.";
  const Errors errors(m);
  m.def(
      "converted_ops", [] { return airloom::convert::Registry::builtin().targets(); }, "Overload keys that have a converter, sorted.");
  m.def(
      "export",
      [errors](const nb::bytes& message, const nb::sequence& weights, const nb::dict& options, const nb::object& progress) {
        return export_program(errors, message, weights, options, progress);
      },
      nb::arg("message"), nb::arg("weights"), nb::arg("options"), nb::arg("progress").none(), "Write all files of an export, or none.");
  m.def(
      "unsupported", [errors](const nb::bytes& message, const nb::sequence& weights) { return unsupported(errors, message, weights); },
      nb::arg("message"), nb::arg("weights"), "List the operators of a program that cannot be converted.");
  m.def(
      "convert_text",
      [errors](const nb::bytes& message, const nb::sequence& weights, const nb::dict& options) {
        return convert_text(errors, message, weights, options);
      },
      nb::arg("message"), nb::arg("weights"), nb::arg("options"), "The text form of the converted graph.");
  m.def(
      "validate", [errors](const std::string& path, const std::string& working_dir) { return validate(errors, path, working_dir); },
      nb::arg("path"), nb::arg("working_dir"), "List the rules that a .air file breaks.");
  m.def(
      "inspect_json", [errors](const std::string& path) { return inspect_json(errors, path); }, nb::arg("path"),
      "What a .air file holds, as JSON.");
}
