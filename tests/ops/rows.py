"""One row per way an operator is called: what the converter tests and the numeric tests run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

f16, bf16, f32, f64 = torch.float16, torch.bfloat16, torch.float32, torch.float64
i8, u8, i16, i32, i64, boolean = torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool

_GENERATOR = torch.Generator().manual_seed(20)


def F(*shape: int, dtype: torch.dtype = f32, low: float = -2.0, high: float = 2.0) -> torch.Tensor:
    """Uniform floats."""
    return (torch.rand(shape, generator=_GENERATOR, dtype=f64) * (high - low) + low).to(dtype)


def P(*shape: int, dtype: torch.dtype = f32) -> torch.Tensor:
    """Floats away from zero, positive."""
    return F(*shape, dtype=dtype, low=0.1, high=0.9)


def I(*shape: int, dtype: torch.dtype = i64, low: int = -5, high: int = 6) -> torch.Tensor:  # noqa: E743
    """Uniform integers in [low, high)."""
    return torch.randint(low, high, shape, generator=_GENERATOR).to(dtype)


def B(*shape: int) -> torch.Tensor:
    """Random bools."""
    return torch.randint(0, 2, shape, generator=_GENERATOR).bool()


def distinct(*shape: int, dtype: torch.dtype = f32) -> torch.Tensor:
    """Every element once, in random order: no ties for sorts and maxima."""
    count = int(torch.tensor(shape).prod()) if shape else 1
    return (torch.randperm(count, generator=_GENERATOR).reshape(shape) - count // 3).to(dtype)


@dataclass(frozen=True)
class Row:
    """A call of one overload. Tensors (also in lists) become graph inputs, everything else stays in the call."""

    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    dynamic: bool = False

    @property
    def overload(self) -> Any:
        """The torch operator."""
        namespace, name, overload = self.target.split(".")
        return getattr(getattr(getattr(torch.ops, namespace), name), overload)


def R(target: str, *args: Any, dynamic: bool = False, **kwargs: Any) -> Row:
    """Make a row."""
    return Row(target, args, kwargs, dynamic)


def D(target: str, *args: Any, **kwargs: Any) -> Row:
    """Make a row with every dimension symbolic."""
    return Row(target, args, kwargs, True)


def _pointwise() -> list[Row]:
    rows = [
        R("aten.add.Tensor", F(2, 3), F(3)),
        R("aten.add.Tensor", F(2, 3), I(2, 3)),
        R("aten.add.Tensor", F(2, 3), 2.5),
        R("aten.add.Tensor", F(2, 3), F(2, 3), alpha=0.5),
        R("aten.add.Tensor", F(2, 3, dtype=bf16), F()),
        R("aten.add.Tensor", F(0, 3), F(3)),
        R("aten.add.Tensor", B(3), B(3)),
        D("aten.add.Tensor", F(2, 3), F(2, 3)),
        R("aten.add.Scalar", I(4), 3),
        R("aten.sub.Tensor", F(2, 3), F(3)),
        R("aten.sub.Tensor", F(2, 3), I(3), alpha=0.5),
        R("aten.sub.Tensor", I(4), 1),
        R("aten.sub.Scalar", F(4), 1),
        R("aten.rsub.Scalar", I(4), 1.5),
        R("aten.rsub.Tensor", F(4), F(4), alpha=2),
        R("aten.mul.Tensor", F(2, 3), F(3)),
        R("aten.mul.Tensor", F(2, 3, dtype=f16), 0.1),
        R("aten.mul.Tensor", I(3), 2),
        R("aten.mul.Tensor", I(3), 2.5),
        R("aten.mul.Tensor", B(3), B(3)),
        R("aten.mul.Scalar", F(3, dtype=f64), 0.1),
        R("aten.div.Tensor", I(4), I(4, low=1)),
        R("aten.div.Tensor", F(2, 3), P(3)),
        R("aten.div.Scalar", I(4), 2),
        R("aten.div.Tensor_mode", F(4), P(4), rounding_mode="trunc"),
        R("aten.div.Tensor_mode", I(4), I(4, low=1), rounding_mode="floor"),
        R("aten.div.Tensor_mode", I(4), I(4, low=1), rounding_mode="trunc"),
        R("aten.div.Scalar_mode", I(4), 3, rounding_mode="floor"),
        R("aten.floor_divide.default", I(4), I(4, low=1)),
        R("aten.remainder.Tensor", I(4), I(4, low=1)),
        R("aten.remainder.Tensor", I(4, dtype=i8), I(4, dtype=i8, low=1)),
        R("aten.remainder.Scalar", F(4), -1.5),
        R("aten.fmod.Tensor", F(4), P(4)),
        R("aten.fmod.Scalar", I(4), 3),
        *[R("aten.pow.Tensor_Scalar", P(4), e) for e in (1, 2, 0.5, -0.5, -1, 3.5)],
        R("aten.pow.Tensor_Scalar", I(4), 2),
        R("aten.pow.Tensor_Scalar", I(4, dtype=u8, low=0), 2),
        R("aten.pow.Tensor_Tensor", P(4), F(4)),
        R("aten.pow.Scalar", 2.0, F(4)),
        R("aten.neg.default", F(4)),
        R("aten.neg.default", I(4, dtype=i16)),
        R("aten.abs.default", F(4)),
        R("aten.abs.default", I(4, dtype=u8, low=0)),
        R("aten.maximum.default", F(2, 3), F(3)),
        R("aten.maximum.default", B(3), B(3)),
        R("aten.minimum.default", I(3, dtype=i16), I(3, dtype=i16)),
        R("aten.minimum.default", B(3), B(3)),
        R("aten.clamp.default", F(4), -1, 1),
        R("aten.clamp.default", I(4), None, 2.5),
        R("aten.clamp.default", F(4), 0.0),
        R("aten.clamp.Tensor", F(2, 3), F(3, low=-2, high=-1), F(3, low=1)),
        R("aten.clamp_min.default", F(4), 0.5),
        R("aten.clamp_max.default", F(4), 0.5),
        R("aten.bitwise_not.default", B(3)),
        R("aten.bitwise_not.default", I(3)),
        R("aten.addcmul.default", F(2, 3), F(3), F(2, 3), value=0.5),
        R("aten.addcdiv.default", F(2, 3), F(3), P(2, 3), value=0.5),
        R("aten.lerp.Scalar", F(4), F(4), 0.3),
        R("aten.lerp.Tensor", F(4), F(4), P(4)),
        R("aten.xlogy.Tensor", F(4), P(4)),
        R("aten.round.decimals", F(4), decimals=1),
        R("aten._to_copy.default", F(4), dtype=i32),
        R("aten._to_copy.default", F(4)),
        R("aten._to_copy.default", I(4), dtype=boolean),
        R("prims.convert_element_type.default", F(4), f16),
        R("aten.clone.default", F(4)),
        R("aten.copy.default", F(2, 3), I(3)),
        R("aten.copy.default", F(2, 3), F(2, 3)),
        R("aten.alias.default", F(4)),
        R("aten.detach.default", F(4)),
        R("aten.square.default", I(4)),
    ]
    rows += [
        R(f"aten.{op}.default", F(2, 3))
        for op in ("sign", "exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "asinh", "erf", "erfc")
    ]
    rows += [
        R(f"aten.{op}.default", P(2, 3))
        for op in ("sqrt", "rsqrt", "reciprocal", "log", "log1p", "log2", "log10", "asin", "acos", "atanh")
    ]
    rows += [
        R("aten.acosh.default", F(4, low=1.1)),
        R("aten.atan2.default", F(4), F(4)),
        R("aten.sqrt.default", I(4, low=1)),
        D("aten.exp.default", F(2, 3)),
    ]
    for op in ("floor", "ceil", "trunc", "round"):
        rows += [R(f"aten.{op}.default", F(4)), R(f"aten.{op}.default", I(4))]
    for op in ("and", "or", "xor"):
        rows += [
            R(f"aten.bitwise_{op}.Tensor", I(4), I(4)),
            R(f"aten.bitwise_{op}.Tensor", B(4), B(4)),
            R(f"aten.bitwise_{op}.Scalar", I(4), 3),
        ]
    return rows


def _activation() -> list[Row]:
    names = (
        "relu",
        "relu6",
        "silu",
        "sigmoid",
        "tanh",
        "selu",
        "mish",
        "hardswish",
        "hardsigmoid",
        "log_sigmoid",
        "log_sigmoid_forward",
    )
    rows = [R(f"aten.{op}.default", F(2, 3)) for op in names]
    return [
        *rows,
        R("aten.relu.default", I(3, dtype=i16)),
        R("aten.hardswish.default", F(3, dtype=bf16)),
        R("aten.sigmoid.default", I(3)),
        R("aten.gelu.default", F(3)),
        R("aten.gelu.default", F(3), approximate="tanh"),
        R("aten.leaky_relu.default", F(3)),
        R("aten.leaky_relu.default", F(3), 0.2),
        R("aten.elu.default", F(3), 0.5, 2.0, 1.5),
        R("aten.celu.default", F(3), 0.5),
        R("aten.softplus.default", F(3, low=-30, high=30), 2.0, 10.0),
        R("aten.hardtanh.default", F(3), -0.5, 0.75),
        R("aten.threshold.default", F(5), 0.1, 7.0),
        R("aten.prelu.default", F(2, 3, 4), P(3)),
        R("aten.prelu.default", F(2, 3), P(1)),
        R("aten._prelu_kernel.default", F(2, 3, 4), P(1, 3, 1)),
        R("aten.rrelu_with_noise_functional.default", F(5), F(5), 0.1, 0.3, False),
        R("aten.glu.default", F(2, 6)),
        D("aten.glu.default", F(4, 6), 0),
    ]


def _compare() -> list[Row]:
    rows = []
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        rows += [
            R(f"aten.{op}.Tensor", I(2, 3), F(3)),
            R(f"aten.{op}.Scalar", I(6), 2.5),
            R(f"aten.{op}.Scalar", F(4, dtype=bf16), 0),
        ]
    rows += [R(f"aten.logical_{op}.default", B(3), F(3)) for op in ("and", "or", "xor")]
    return [
        *rows,
        R("aten.logical_not.default", F(3)),
        R("aten.isnan.default", torch.tensor([1.0, float("nan"), float("inf")])),
        R("aten.isinf.default", torch.tensor([1.0, float("nan"), float("-inf")])),
        R("aten.isinf.default", I(3)),
        R("aten.where.self", B(2, 3), F(3), F(2, 1)),
        R("aten.where.self", B(3), I(3), F(3)),
        R("aten.where.ScalarSelf", B(3), 1.5, F(3)),
        R("aten.where.ScalarOther", B(3), I(3), 2),
        R("aten.where.Scalar", B(3), 1, 0),
        R("aten.masked_fill.Scalar", F(2, 3), B(2, 3), -1e9),
        R("aten.masked_fill.Tensor", F(2, 3), B(3), F()),
    ]


def _reduce() -> list[Row]:
    x = F(2, 3, 4)
    return [
        R("aten.sum.dim_IntList", x, [1]),
        R("aten.sum.dim_IntList", x, None, True),
        R("aten.sum.dim_IntList", x, []),
        R("aten.sum.dim_IntList", B(2, 3), [-1]),
        R("aten.sum.dim_IntList", F(), [0]),
        R("aten.sum.dim_IntList", x, [0, 2], dtype=f64),
        D("aten.sum.dim_IntList", x, [0, -1], True),
        R("aten.sum.default", I(3, dtype=i32)),
        R("aten.mean.dim", x, [1], True),
        R("aten.mean.dim", F(2, 3, dtype=bf16), [-1]),
        R("aten.mean.default", x),
        R("aten.prod.default", I(4)),
        R("aten.prod.dim_int", x, 1, True),
        R("aten.amax.default", x, [0, 1]),
        R("aten.amax.default", B(2, 3), [0]),
        R("aten.amin.default", I(2, 3, dtype=i16), [1], True),
        R("aten.max.default", x),
        R("aten.min.default", I(4)),
        R("aten.max.dim", distinct(2, 3, 4), 1),
        R("aten.max.dim", F(), 0),
        R("aten.min.dim", distinct(2, 6, dtype=i64), -1, True),
        R("aten.argmax.default", distinct(3, 4)),
        R("aten.argmax.default", distinct(3, 4), 1, True),
        R("aten.argmax.default", distinct(3, 4), None, True),
        D("aten.argmax.default", distinct(3, 4), 0),
        R("aten.argmin.default", distinct(3, 4), -1),
        R("aten.any.default", B(3)),
        R("aten.any.dim", F(2, 3), 1, True),
        R("aten.any.dims", B(2, 3), [0, 1]),
        R("aten.all.default", B(3)),
        R("aten.all.dim", B(2, 3), 0),
        R("aten.all.dims", B(2, 3, 4), [0, 2], True),
        R("aten.var.correction", x, [1]),
        R("aten.var.correction", x, None, correction=0, keepdim=True),
        D("aten.var.correction", x, [0, 2]),
        R("aten.std.correction", x, [-1], correction=0.5),
        R("aten.var_mean.correction", x, [1, 2], correction=0),
        R("aten.logsumexp.default", x, [1]),
        R("aten.logsumexp.default", x, [-1], True),
        *[R("aten.linalg_vector_norm.default", x, p, [-1]) for p in (2, 1, 0, 3, float("inf"), float("-inf"))],
        R("aten.linalg_vector_norm.default", x, 2, None, True),
        R("aten.cumsum.default", I(2, 3), 1),
        R("aten.cumsum.default", B(4), 0),
        R("aten.cumsum.default", F(), 0),
        R("aten.cumprod.default", x, -1),
        R("aten.topk.default", distinct(3, 5), 2),
        R("aten.topk.default", distinct(5, 3), 2, 0, False),
        R("aten.sort.default", distinct(2, 4)),
        R("aten.sort.default", distinct(4, 2), 0, True),
        R("aten.sort.stable", I(8), stable=True, dim=0),
        R("aten.softmax.int", x, 1),
        R("aten.softmax.int", F(2, 3, dtype=f16), -1, f32),
        R("aten.softmax.int", F(), 0),
        R("aten._softmax.default", x, -1, False),
        R("aten.log_softmax.int", x, 2),
        R("aten._log_softmax.default", x, 0, False),
        R("aten._safe_softmax.default", torch.tensor([[0.5, float("-inf")], [float("-inf"), float("-inf")]]), -1),
    ]


def _linalg() -> list[Row]:
    return [
        R("aten.linear.default", F(2, 3), F(4, 3), F(4)),
        R("aten.linear.default", F(2, 5, 3), F(4, 3)),
        R("aten.linear.default", F(3), F(4, 3), F(4)),
        R("aten.linear.default", F(2, 3), F(3)),
        D("aten.linear.default", F(2, 5, 3), F(4, 3), F(4)),
        R("aten.mm.default", F(2, 3), F(3, 4)),
        R("aten.bmm.default", F(2, 3, 4), F(2, 4, 5)),
        R("aten.matmul.default", F(2, 3, 4), F(4, 5)),
        R("aten.matmul.default", F(4), F(4)),
        R("aten.matmul.default", F(4), F(2, 4, 3)),
        R("aten.matmul.default", F(2, 3, 4), F(4)),
        D("aten.matmul.default", F(2, 3, 4), F(2, 4, 3)),
        R("aten.addmm.default", F(4), F(2, 3), F(3, 4)),
        R("aten.addmm.default", F(2, 4), F(2, 3), F(3, 4), beta=0.5, alpha=2),
        R("aten.addmm.default", F(2, 4), F(2, 3), F(3, 4), beta=0),
        R("aten.baddbmm.default", F(2, 3, 5), F(2, 3, 4), F(2, 4, 5), beta=0.5),
        R("aten.mv.default", F(3, 4), F(4)),
        R("aten.dot.default", F(4), F(4)),
    ]


def _conv() -> list[Row]:
    x = F(2, 4, 9, 8)
    return [
        R("aten.conv1d.default", F(2, 4, 9), F(6, 4, 3), F(6), [2], [1]),
        R("aten.conv1d.padding", F(2, 4, 9), F(6, 4, 4), None, [1], "same"),
        R("aten.conv2d.default", x, F(6, 4, 3, 3), F(6), [2, 1], [1, 0]),
        R("aten.conv2d.default", x, F(6, 2, 3, 3), None, [1, 1], [2, 2], [2, 2], 2),
        R("aten.conv2d.default", F(4, 9, 8), F(6, 4, 3, 3)),
        D("aten.conv2d.default", x, F(6, 4, 3, 3), F(6), [2, 2], [1, 1]),
        R("aten.conv2d.padding", x, F(6, 4, 3, 2), F(6), [1, 1], "same"),
        R("aten.conv2d.padding", x, F(6, 4, 3, 2), F(6), [1, 1], "valid"),
        R("aten.conv3d.default", F(1, 2, 5, 6, 7), F(4, 2, 3, 3, 3), F(4)),
        R("aten.conv3d.padding", F(1, 2, 5, 6, 7), F(4, 2, 3, 3, 2), F(4), [1, 1, 1], "same"),
        R("aten.conv_transpose3d.input", F(1, 2, 4, 4, 4), F(2, 3, 3, 3, 3), F(3), [2, 2, 2]),
        R("aten.convolution.default", x, F(6, 4, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        R("aten.convolution.default", x, F(4, 3, 3, 3), F(6), [2, 2], [1, 1], [1, 1], True, [1, 1], 2),
        R("aten.conv_transpose1d.default", F(2, 4, 9), F(4, 6, 3), F(6), [2], [1], [1]),
        R("aten.conv_transpose2d.input", x, F(4, 6, 3, 3), F(6), [2, 2], [1, 1], [1, 1]),
    ]


def _pool() -> list[Row]:
    x = distinct(2, 3, 9, 8)
    return [
        R("aten.max_pool1d.default", distinct(2, 3, 9), [3], [2], [1]),
        R("aten.max_pool2d.default", x, [3, 3], [2, 2], [1, 1]),
        R("aten.max_pool2d.default", x, [2, 3], [], [0, 0], [1, 1], True),
        R("aten.max_pool2d.default", x, [3], [1], [0], [2]),
        R("aten.max_pool2d.default", distinct(3, 9, 8), [2, 2]),
        R("aten.max_pool2d_with_indices.default", x, [3, 3], [2, 2], [1, 1]),
        R("aten.max_pool3d.default", distinct(1, 2, 5, 6, 7), [2, 2, 2]),
        R("aten.max_pool3d_with_indices.default", distinct(1, 2, 5, 6, 7), [2, 2, 2]),
        R("aten.avg_pool3d.default", F(1, 2, 5, 6, 7), [2, 2, 2]),
        R("aten.avg_pool1d.default", F(2, 3, 9), [3], [2], [1]),
        R("aten.avg_pool2d.default", x, [3, 3], [2, 2], [1, 1]),
        R("aten.avg_pool2d.default", F(2, 3, 9, 8, dtype=f16), [3, 3], [2, 2], [1, 1], False, False),
        R("aten.avg_pool2d.default", x, [2, 2], [], [0, 0], False, True, 3),
        R("aten.adaptive_avg_pool1d.default", F(2, 3, 9), [4]),
        R("aten.adaptive_avg_pool2d.default", x, [1, 1]),
        R("aten.adaptive_avg_pool2d.default", x, [4, 3]),
        D("aten.adaptive_avg_pool2d.default", x, [1, 1]),
        R("aten._adaptive_avg_pool2d.default", x, [4, 3]),
        R("aten.adaptive_max_pool2d.default", x, [4, 3]),
    ]


def _norm() -> list[Row]:
    x = F(2, 4, 6)
    return [
        R("aten.layer_norm.default", x, [6], P(6), F(6)),
        R("aten.layer_norm.default", x, [4, 6]),
        D("aten.layer_norm.default", x, [6], P(6), F(6), 1e-6),
        R("aten.native_layer_norm.default", x, [6], P(6), F(6), 1e-5),
        R("aten.rms_norm.default", x, [6], P(6), 1e-6),
        R("aten.rms_norm.default", x, [6]),
        R("aten._native_batch_norm_legit_no_training.default", F(2, 4, 5, 5), P(4), F(4), F(4), P(4), 0.1, 1e-5),
        R("aten._native_batch_norm_legit_no_training.default", F(2, 4), None, None, F(4), P(4), 0.1, 1e-5),
        D("aten._native_batch_norm_legit_no_training.default", F(2, 4, 5, 5), P(4), F(4), F(4), P(4), 0.1, 1e-5),
        R("aten.instance_norm.default", F(2, 4, 5, 5), P(4), F(4), None, None, True, 0.1, 1e-5, False),
        R("aten._fused_rms_norm.default", x, [6], P(6), 1e-6),
        R("aten._native_batch_norm_legit_no_training.default", F(2, 4, 5), P(4), F(4), F(4), P(4), 0.1, 1e-5),
        R("aten.group_norm.default", F(2, 4, 5, 5), 2, P(4), F(4)),
        R("aten.native_group_norm.default", F(2, 4, 5), P(4), F(4), 2, 4, 5, 2, 1e-5),
    ]


def _shape() -> list[Row]:
    x = F(2, 3, 4)
    return [
        R("aten.view.default", x, [6, -1]),
        D("aten.view.default", x, [-1, 4]),
        R("aten._unsafe_view.default", x, [24]),
        R("aten.view.default", x, [4, 6]),
        R("aten.view.default", F(0, 4), [4, 0]),
        R("aten.unsqueeze.default", x, -1),
        R("aten.unsqueeze.default", F(), 0),
        R("aten.squeeze.default", F(1, 3, 1)),
        R("aten.squeeze.dim", F(1, 3), 0),
        R("aten.squeeze.dim", F(2, 3), 0),
        R("aten.squeeze.dims", F(1, 3, 1), [0, -1]),
        R("aten.permute.default", x, [2, 0, -2]),
        R("aten.transpose.int", x, 0, -1),
        R("aten.t.default", F(2, 3)),
        R("aten.t.default", F(3)),
        R("aten.expand.default", F(1, 3), [2, -1, 3]),
        R("aten.expand.default", F(), [2, 3]),
        R("aten.repeat.default", F(2, 3), [2, 1, 2]),
        D("aten.repeat.default", F(2, 3), [2, 2]),
        R("aten.cat.default", [F(2, 3), F(1, 3)]),
        R("aten.cat.default", [F(2, 3), I(2, 2)], -1),
        R("aten.cat.default", [F(0), F(2, 3)], 1),
        R("aten.cat.default", [F(2, 3)]),
        R("aten.stack.default", [F(2, 3), F(2, 3)], 1),
        R("aten.stack.default", [F(), F()]),
        R("aten.split.Tensor", F(5, 2), 2),
        R("aten.split.Tensor", F(5, 2), 9),
        R("aten.split_with_sizes.default", F(2, 6), [1, 2, 3], 1),
        R("aten.unbind.int", F(3, 2)),
        R("aten.unbind.int", B(2, 3), -1),
        R("aten.slice.Tensor", x, 1, 1, 3),
        R("aten.slice.Tensor", x, 2, -3, 2**63 - 1, 2),
        R("aten.slice.Tensor", x, 0, 5, 9),
        R("aten.slice.Tensor", x),
        D("aten.slice.Tensor", x, 1, 1),
        D("aten.slice.Tensor", x, 1, None, -1),
        R("aten.slice.Tensor", B(4), 0, 1),
        R("aten.select.int", x, 1, -1),
        D("aten.select.int", x, 0, -1),
        R("aten.select.int", B(4), 0, 1),
        R("aten.flip.default", x, [0, -1]),
        R("aten.constant_pad_nd.default", x, [1, 2, 0, 1], 1.5),
        R("aten.constant_pad_nd.default", x, [-1, 1]),
        R("aten.constant_pad_nd.default", B(3), [1, 0], 1),
        R("aten.pad.default", F(1, 2, 4, 5), [1, 2, 1, 0], "reflect"),
        R("aten.pad.default", F(1, 2, 4, 5), [1, 2, 1, 0], "replicate"),
        R("aten.pad.default", x, [1, 1], "constant", 2.0),
        R("aten.tril.default", F(3, 4), -1),
        R("aten.triu.default", B(3, 4), 1),
    ]


def _index() -> list[Row]:
    x = F(4, 5, 6)
    return [
        R("aten.embedding.default", F(10, 4), I(2, 3, low=0, high=10)),
        D("aten.embedding.default", F(10, 4), I(2, 3, low=0, high=10)),
        R("aten.index_select.default", x, 1, I(3, low=0, high=5)),
        R("aten.index_select.default", B(4), 0, I(low=0, high=4)),
        R("aten.gather.default", x, 2, I(4, 2, 3, low=0, high=6)),
        R("aten.gather.default", F(), 0, I(low=0, high=1)),
        R("aten.index.Tensor", x, [I(3, low=-4, high=4)]),
        R("aten.index.Tensor", x, [None, I(2, 2, low=0, high=5)]),
        R("aten.index.Tensor", x, [I(3, low=0, high=4), I(3, low=0, high=5)]),
        R("aten.index.Tensor", x, [I(3, low=0, high=4), None, I(2, 1, low=0, high=6)]),
        R("aten.scatter.src", F(3, 5), 1, torch.tensor([[0, 2], [1, 4]]), F(3, 4)),
        R("aten.scatter.value", F(3, 5), 0, torch.tensor([[0, 2, 1]]), 7.0),
        R("aten.scatter.value", F(), 0, torch.tensor(0), 7.0),
        R("aten.scatter_add.default", F(3, 5), 1, torch.tensor([[0, 0, 1]]), F(1, 3)),
        R("aten.slice_scatter.default", x, F(4, 2, 6), 1, 1, 3),
        R("aten.slice_scatter.default", x, F(4, 2, 6), 1, -4, 9, 2),
        R("aten.select_scatter.default", x, F(4, 6), 1, -2),
        R("aten.one_hot.default", I(4, low=0, high=5), 5),
    ]


def _creation() -> list[Row]:
    x = F(2, 3)
    return [
        R("aten.full.default", [2, 3], 1.5),
        R("aten.full.default", [], 3),
        R("aten.full_like.default", x, 2, dtype=i32),
        D("aten.full_like.default", x, 2),
        R("aten.zeros.default", [2, 3], dtype=boolean),
        R("aten.ones.default", [0, 3]),
        R("aten.zeros_like.default", x),
        R("aten.ones_like.default", x, dtype=f16),
        R("aten.new_full.default", x, [2], 4),
        R("aten.new_zeros.default", x, [2]),
        R("aten.new_ones.default", x, [2]),
        R("aten.scalar_tensor.default", 2.5, dtype=f16),
        R("aten.fill.Scalar", x, 3),
        R("aten.arange.default", 5),
        R("aten.arange.start", 1, 5, dtype=f32),
        R("aten.arange.start_step", 0, 10, 3),
        R("aten.arange.start_step", 0.0, 1.0, 0.3),
    ]


def _attention() -> list[Row]:
    q, k, v = F(2, 4, 5, 8), F(2, 4, 6, 8), F(2, 4, 6, 8)
    sdpa = "aten.scaled_dot_product_attention.default"
    hidden = torch.zeros(2, 1, 5, 6)
    hidden[0, 0, 1] = float("-inf")
    keep = B(2, 1, 5, 6)
    keep[1, 0, 2] = False
    return [
        R(sdpa, q, k, v),
        R(sdpa, q, k, v, None, 0.0, True),
        R(sdpa, q, k, v, keep),
        R(sdpa, q, k, v, hidden),
        R(sdpa, q, k, v, None, 0.0, False, scale=0.3),
        R(sdpa, q, F(2, 2, 6, 8), F(2, 2, 6, 8), keep, enable_gqa=True),
        R(sdpa, F(5, 8), F(6, 8), F(6, 8)),
        D(sdpa, q, k, v, F(2, 1, 5, 6)),
        D(sdpa, F(2, 4, 5, 8), F(2, 4, 5, 8), F(2, 4, 5, 8), None, 0.0, True),
    ]


ROWS: list[Row] = [
    *_pointwise(),
    *_activation(),
    *_compare(),
    *_reduce(),
    *_linalg(),
    *_conv(),
    *_pool(),
    *_norm(),
    *_shape(),
    *_index(),
    *_creation(),
    *_attention(),
]

# Converters that no row reaches, each with the reason and where it is tested instead.
UNREACHED: dict[str, str] = {
    "aten._local_scalar_dense.default": "needs a data-dependent size: tests/python/test_capture.py",
    "aten.empty.memory_format": "its content is undefined",
    "aten.empty_like.default": "its content is undefined",
    "aten.new_empty.default": "its content is undefined",
    **dict.fromkeys(
        [
            f"_c10d_functional.{op}.default"
            for op in (
                "all_reduce",
                "all_gather_into_tensor",
                "reduce_scatter_tensor",
                "all_to_all_single",
                "broadcast",
                "wait_tensor",
            )
        ],
        "needs processes: tests/distributed",
    ),
}
