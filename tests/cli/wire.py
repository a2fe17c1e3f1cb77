"""The wire form of a .air, written by hand so that these tests share no code with the writer."""

from collections.abc import Iterable


def varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def block(number: int, payload: bytes | str) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(data)) + data


def attr(key: str, value: bytes) -> bytes:
    return block(1, key) + block(2, value)


def descriptor(name: str, dims: Iterable[int]) -> bytes:
    """A float32 descriptor of layout ND."""
    shape = block(1, b"".join(varint(dim) for dim in dims))
    known = attr("origin_shape_initialized", integer(5, 1))
    origin = attr("origin_shape", block(1, block(3, b"".join(varint(dim) for dim in dims)) + integer(20, 2)))
    return block(1, name) + integer(2, 1) + block(3, shape) + block(4, "ND") + block(5, known) + block(5, origin)


def names(direction: str, slots: list[str]) -> bytes:
    keys = b"".join(block(2, slot) for slot in slots) + integer(20, 1)
    values = b"".join(integer(3, index) for index in range(len(slots))) + integer(20, 2)
    pairs = ((f"_{direction}_name_key", keys), (f"_{direction}_name_value", values))
    return b"".join(block(10, attr(key, block(1, value))) for key, value in pairs)


def node(name: str, kind: str, inputs: dict[str, str], outputs: list[str], attrs: bytes = b"") -> bytes:
    """An OpDef whose tensors are all float32[2, 3]."""
    out = block(1, name) + block(2, kind)
    out += b"".join(block(5, source) for source in inputs.values())
    out += attrs
    out += names("input", list(inputs)) if inputs else b""
    out += names("output", outputs) if outputs else b""
    out += b"".join(block(33, descriptor(slot, (2, 3))) for slot in inputs)
    return out + b"".join(block(34, descriptor(slot, (2, 3))) for slot in outputs)
