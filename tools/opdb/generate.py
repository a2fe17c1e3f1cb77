#!/usr/bin/env python3
"""Generates the operator tables in src/opdb from the facts in data/opdb and from torch's schema registry.

generate.py             ops.gen.inc and ge.gen.h
generate.py --schemas   these and schemas.gen.inc (needs the torch release named in that file, or a newer one)
generate.py --check     compare with the checked-in files, change nothing, fail when they differ
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ("aten", "_c10d_functional", "prims", "quantized_decomposed")
CHECK_LINES = 20  # of each file's diff that --check prints

KINDS = {"required": "kRequired", "optional": "kOptional", "dynamic": "kDynamic"}
MARKS = {"required": "", "optional": "?", "dynamic": "*"}
CPP_TYPES = {
    "Int": "std::int64_t",
    "Float": "double",
    "Bool": "bool",
    "String": "std::string",
    "Type": "ir::DType",
    "Tensor": "ir::TensorRef",
    "ListInt": "ir::Ints",
    "ListFloat": "ir::Floats",
    "ListBool": "ir::Bools",
    "ListString": "ir::Strings",
    "ListType": "ir::DTypes",
    "ListListInt": "ir::IntLists",
}
# C++20 keywords, and names that a generated struct uses itself.
RESERVED_TEXT = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
    compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype
    default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline
    int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
    register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor xor_eq ir std visit visitor Visitor
"""
RESERVED = frozenset(RESERVED_TEXT.split())

Json = dict[str, Any]


class FactError(Exception):
    """The data in data/opdb contradicts itself or the generator's assumptions."""


def quote(text: str) -> str:
    """Return a C++ string literal of `text` (ASCII)."""
    if not text.isascii():
        raise FactError(f"text is not ASCII: {text!r}")
    return json.dumps(text)


class Dtypes:
    """ge::DataType numbers by name, and the enumerators of ir::DType by number."""

    def __init__(self, enums: Json, header: str) -> None:
        """Take data/opdb/enums.json and the text of include/airloom/dtype.h."""
        self.numbers: dict[str, int] = {name: row["ge"] for name, row in enums["dtypes"].items()}
        body = re.search(r"enum class DType[^{]*\{(.*?)\}", header, re.S)
        if body is None:
            raise FactError("include/airloom/dtype.h has no enum class DType")
        self.enumerators = {int(number): name for name, number in re.findall(r"(k\w+) = (\d+)", body[1])}

    def mask(self, port: Json) -> int:
        """Bit n is set when ge::DataType n is listed. 0 means any: nothing listed."""
        return sum(1 << self.numbers[name] for name in sorted(set(port["dtypes"])))

    def literal(self, name: str) -> str:
        """Return the C++ spelling of a dtype."""
        number = self.numbers[name]
        enumerator = self.enumerators.get(number)
        return f"ir::DType::{enumerator}" if enumerator else f"static_cast<ir::DType>({number})"


class Pool:
    """Concatenated sequences, equal ones stored once; a sequence is named by its offset and length."""

    def __init__(self) -> None:
        """Make an empty pool."""
        self.items: list[str] = []
        self._offsets: dict[tuple[str, ...], int] = {}

    def add(self, sequence: Sequence[str]) -> str:
        """Store a sequence and give its "offset, length"."""
        key = tuple(sequence)
        if not key:
            return "0, 0"
        if key not in self._offsets:
            self._offsets[key] = len(self.items)
            self.items.extend(key)
        return f"{self._offsets[key]}, {len(key)}"


def check_names(op: str, rows: Iterable[Json], what: str) -> None:
    """Rejects names that repeat within one list of an operator, or that are no identifiers."""
    seen = set()
    for row in rows:
        name = row["name"]
        if name in seen:
            raise FactError(f"{op}: {what} '{name}' is listed twice")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise FactError(f"{op}: {what} '{name}' is not an identifier")
        seen.add(name)


def has_default(attr: Json) -> bool:
    """Whether an attribute has a default: all optional ones; Tensor() is written as null."""
    if attr["required"]:
        return False
    if attr["default"] is None and attr["type"] != "Tensor":
        raise FactError(f"attribute '{attr['name']}' is optional and has no default")
    return True


def default_text(attr: Json) -> str:
    """Return the default as JSON text, empty when there is none to compare with."""
    if not has_default(attr) or attr["default"] is None:
        return ""
    return json.dumps(attr["default"], separators=(",", ":"))


def banner(about: str) -> str:
    """First lines of a generated file."""
    return (
        f"// {about}\n// Generated by tools/opdb/generate.py: change the facts or the tool, not this file.\n"
        "// clang-format off\n"
    )


def ops_inc(ops: Json, dtypes: Dtypes) -> str:
    """Tables of all operators, included by opdb.cc."""
    ports, attrs, graphs = Pool(), Pool(), Pool()
    rows = []
    for op, facts in sorted(ops.items()):
        for what in ("inputs", "outputs", "attrs"):
            check_names(op, facts[what], what)
        spans = [
            "kPorts + "
            + ports.add(
                [f"{{{quote(p['name'])}sv, Kind::{KINDS[p['kind']]}, {dtypes.mask(p):#x}}}" for p in facts[what]]
            )
            for what in ("inputs", "outputs")
        ]
        attr_rows = []
        for a in facts["attrs"]:
            kind = f"AttrKind::k{a['type']}" if a["type"] in CPP_TYPES else "AttrKind::kOther"
            required = "true" if a["required"] else "false"
            attr_rows.append(f"{{{quote(a['name'])}sv, {kind}, {required}, {quote(default_text(a))}sv}}")
        spans.append("kAttrs + " + attrs.add(attr_rows))
        spans.append(
            "kGraphs + " + graphs.add([f"{quote(g['name'] + MARKS[g['kind']])}sv" for g in facts.get("graphs", [])])
        )
        deprecated = "true" if facts.get("deprecated") else "false"
        rows.append(f"{{{quote(op)}sv, {', '.join(f'{{{span}}}' for span in spans)}, {deprecated}}}")
    out = [banner("GE operator prototypes.")]
    for name, cpp, pool in (
        ("Ports", "Port", ports),
        ("Attrs", "AttrInfo", attrs),
        ("Graphs", "std::string_view", graphs),
    ):
        out.append(f"constexpr {cpp} k{name}[] = {{\n" + "".join(f"{item},\n" for item in pool.items) + "};\n")
    out.append("constexpr OpInfo kOps[] = {\n" + "".join(f"{row},\n" for row in rows) + "};\n// clang-format on\n")
    return "".join(out)


def literal(attr: Json, value: Any, dtypes: Dtypes) -> str:
    """C++ expression of an attribute's default, of exactly the field's type."""
    kind = attr["type"]
    if kind == "Int":
        # The lowest int64 has no literal of its own.
        if value == -(2**63):
            return "INT64_MIN"
        return f"std::int64_t{{{value}}}"
    if kind == "Float":
        return repr(float(value))
    if kind == "Bool":
        return "true" if value else "false"
    if kind == "String":
        return f"std::string({quote(value)})" if value else "std::string()"
    if kind == "Type":
        return dtypes.literal(value)
    if kind == "Tensor":
        return "ir::TensorRef()"
    item = {"type": kind.removeprefix("List")}
    cpp = CPP_TYPES[kind]
    if kind == "ListListInt":
        return f"{cpp}{{{', '.join('std::vector<std::int64_t>{' + ', '.join(map(str, v)) + '}' for v in value)}}}"
    if kind == "ListInt":
        return f"{cpp}{{{', '.join(map(str, value))}}}"
    return f"{cpp}{{{', '.join(literal(item, v, dtypes) for v in value)}}}"


def field_name(attr: str) -> str:
    """Name the C++ field of an attribute: the same, with an underscore where that is taken."""
    return attr + "_" if attr in RESERVED else attr


def ge_struct(op: str, facts: Json, dtypes: Dtypes) -> str:
    """Write the struct of one operator."""
    out = [f"struct {field_name(op)} {{\n  static constexpr std::string_view kType = {quote(op)};\n"]
    for constant, what in (("kInputs", "inputs"), ("kOutputs", "outputs")):
        names = ", ".join(quote(p["name"] + MARKS[p["kind"]]) for p in facts[what])
        out.append(f"  static constexpr std::array<std::string_view, {len(facts[what])}> {constant}{{{names}}};\n")
    if not facts["attrs"]:
        out.append("  struct Attrs {\n    template <class Visitor>\n    void visit(Visitor&&) const {}\n  };\n};\n")
        return "".join(out)
    fields, visits = [], []
    for attr in facts["attrs"]:
        if attr["type"] not in CPP_TYPES:
            raise FactError(f"{op}: attribute '{attr['name']}' has type {attr['type']}, which has no C++ type")
        name, cpp = field_name(attr["name"]), CPP_TYPES[attr["type"]]
        if has_default(attr):
            value = literal(attr, attr["default"], dtypes)
            fields.append(f"    {cpp} {name} = {value};\n")
            visits.append(f"      visitor({quote(attr['name'])}, {name}, {value});\n")
        else:
            fields.append(f"    Required<{cpp}> {name};\n")
            visits.append(f"      visitor({quote(attr['name'])}, {name}.value);\n")
    out.append("  struct Attrs {\n" + "".join(fields))
    out.append(
        "    template <class Visitor>\n    void visit(Visitor&& visitor) const {\n"
        + "".join(visits)
        + "    }\n  };\n};\n"
    )
    return "".join(out)


def ge_header(ops: Json, emitted: Sequence[str], dtypes: Dtypes) -> str:
    """Structs of the operators that converters emit."""
    unknown = [op for op in emitted if op not in ops]
    if unknown:
        raise FactError(f"data/opdb/emitted.txt names operators without a prototype: {', '.join(unknown)}")
    out = [
        banner(
            "GE operators that converters emit: inputs and outputs ('?' optional, '*' dynamic) and typed attributes."
        ),
        "#pragma once\n\n#include <array>\n#include <cstdint>\n#include <string>\n#include <string_view>\n"
        "#include <vector>\n\n"
        '#include "airloom/dtype.h"\n#include "ir/attr.h"\n#include "opdb/required.h"\n\nnamespace airloom::ge {\n\n'
        "// Attrs::visit calls visitor(name, value, default) for each attribute in prototype order,\n"
        "// and visitor(name, value) for a required one.\n",
    ]
    out.extend("\n" + ge_struct(op, ops[op], dtypes) for op in sorted(set(emitted)))
    out.append("\n}  // namespace airloom::ge\n// clang-format on\n")
    return "".join(out)


def torch_schemas() -> dict[str, str]:
    """Overload key -> schema text of everything that torch registers in NAMESPACES."""
    torch = importlib.import_module("torch")
    for module in ("torch.distributed._functional_collectives", "torch._prims", "torch.ao.quantization.fx._decomposed"):
        importlib.import_module(module)
    found: dict[str, str] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace not in NAMESPACES:
            continue
        key = f"{namespace}.{name}.{schema.overload_name or 'default'}"
        if key in found:
            raise FactError(f"torch has two schemas of {key}")
        found[key] = str(schema)
    return found


def torch_version() -> str:
    """Release of the torch that is installed, "" without one."""
    try:
        return str(importlib.import_module("torch").__version__).partition("+")[0]
    except ImportError:
        return ""


def schemas_inc() -> str:
    """Write the table of ATen schemas."""
    out = [banner(f"ATen schemas of torch {torch_version()}.")]
    out.append("constexpr Schema kSchemas[] = {\n")
    for key, text in sorted(torch_schemas().items()):
        out.append(f"{{{quote(key)}sv, {quote(text)}sv}},\n")
    out.append("};\n// clang-format on\n")
    return "".join(out)


def load(data: Path) -> tuple[Json, list[str], Dtypes]:
    """Facts about operators, names of those emitted, and dtypes."""
    ops: Json = json.loads((data / "ge_ops.json").read_text())
    enums: Json = json.loads((data / "enums.json").read_text())
    emitted = [line.strip() for line in (data / "emitted.txt").read_text().splitlines()]
    header = (ROOT / "include/airloom/dtype.h").read_text()
    return ops, [op for op in emitted if op and not op.startswith("#")], Dtypes(enums, header)


def difference(path: Path, old: str, new: str) -> str:
    """Short summary of what regeneration would change in a file."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "checked in", "generated", n=0, lineterm=""))
    shown = [line[:200] for line in lines[:CHECK_LINES]]
    more = f"\n... and {len(lines) - CHECK_LINES} more lines" if len(lines) > CHECK_LINES else ""
    return f"{path} differs:\n" + "\n".join(shown) + more


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the checked-in files instead of writing")
    parser.add_argument("--schemas", action="store_true", help="also the ATen schemas, which needs torch")
    parser.add_argument("--out", type=Path, default=ROOT / "src/opdb", help="folder of the generated files")
    options = parser.parse_args()

    ops, emitted, dtypes = load(ROOT / "data/opdb")
    files = {"ops.gen.inc": ops_inc(ops, dtypes), "ge.gen.h": ge_header(ops, emitted, dtypes)}
    schemas = options.out / "schemas.gen.inc"
    if options.schemas:
        files[schemas.name] = schemas_inc()
    elif options.check:
        print(f"{schemas.name}: skipped (--schemas compares it with the installed torch)")

    differing = 0
    for name, text in files.items():
        path = options.out / name
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        if options.check:
            differing += 1
            print(difference(path, old, text))
        else:
            path.write_text(text)
            print(f"wrote {path}")
    if differing:
        print("run tools/opdb/generate.py and check in the result")
    return 1 if differing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FactError as error:
        sys.exit(f"generate.py: {error}")
