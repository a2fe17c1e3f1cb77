// Texts of the core as Python strings.
#pragma once

#include <string>

#include <nanobind/nanobind.h>

namespace airloom::bindings {

/// Texts may quote a file's bytes, which need not be UTF-8.
inline nanobind::object text_of(const std::string& text) {
  return nanobind::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

}  // namespace airloom::bindings
