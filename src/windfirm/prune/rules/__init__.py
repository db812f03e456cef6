"""What each ATen operation does to channels: one rule, a few lines, for each kind of operation.

An operation that is not in the table freezes what reaches it, with a reason that names it.
"""

from typing import Any

import torch

from windfirm.prune.rules.base import Rule
from windfirm.prune.rules.contract import convolution, embedding, linear, product
from windfirm.prune.rules.move import (
    expanded,
    gated,
    joined,
    looked_up,
    moved,
    padded,
    picked,
    rolled,
    shuffled,
    sliced,
    split,
)
from windfirm.prune.rules.point import (
    batch_norm,
    constant,
    copied,
    filled,
    folded,
    group_norm,
    layer_norm,
    over_space,
    pointwise,
    put,
    reduced,
    restrided,
    scanned,
    softmax,
    unchanged,
    unfolded,
    unpooled,
)

#: Rule → the operations that follow it; every overload, and the in-place form where there is one.
OPERATIONS: dict[Rule, str] = {
    convolution: "convolution",
    product: "mm addmm bmm baddbmm",
    linear: "linear",
    embedding: "embedding",
    moved: (
        "view _unsafe_view reshape permute transpose t unsqueeze squeeze repeat select unbind flip "
        "pixel_shuffle pixel_unshuffle diagonal movedim unfold"
    ),
    sliced: "slice narrow",
    split: "split split_with_sizes unsafe_split chunk",
    gated: "glu",
    joined: "cat stack",
    looked_up: "index",
    picked: "index_select gather",
    rolled: "roll",
    shuffled: "channel_shuffle native_channel_shuffle",
    expanded: "expand",
    padded: "constant_pad_nd",
    pointwise: (
        "add sub rsub mul div relu hardtanh sigmoid hardsigmoid silu hardswish mish gelu tanh leaky_relu elu "
        "celu selu prelu _prelu_kernel softplus softsign log_sigmoid_forward threshold clamp clamp_min "
        "clamp_max neg abs exp expm1 log log1p log2 sqrt rsqrt reciprocal square pow sin cos atan erf sign "
        "floor ceil round maximum minimum fmax fmin where masked_fill eq ne lt le gt ge logical_and "
        "logical_or logical_not bitwise_and bitwise_not isnan nan_to_num lerp addcmul addcdiv native_dropout "
        "bernoulli hardshrink softshrink remainder fmod floor_divide trunc frac sgn copysign heaviside "
        "tan asin acos sinh cosh asinh acosh atanh atan2 hypot sinc erfc erfinv logit logaddexp logaddexp2 xlogy "
        "logical_xor bitwise_or bitwise_xor rrelu_with_noise"
    ),
    copied: "copy",
    put: "index_put",
    unchanged: "clone detach alias _to_copy contiguous lift_fresh",
    restrided: "as_strided",
    constant: (
        "zero zeros ones full empty new_zeros new_ones new_full new_empty zeros_like ones_like full_like "
        "empty_like scalar_tensor rand rand_like randn randn_like"
    ),
    filled: "fill",
    over_space: (
        "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d avg_pool1d "
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool2d "
        "adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d "
        "upsample_bicubic2d upsample_linear1d upsample_trilinear3d _upsample_nearest_exact2d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa reflection_pad1d reflection_pad2d replication_pad1d "
        "replication_pad2d replication_pad3d grid_sampler_2d"
    ),
    unpooled: "max_unpool2d max_unpool3d",
    unfolded: "im2col",
    folded: "col2im",
    batch_norm: (
        "native_batch_norm cudnn_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
        "_batch_norm_with_update"
    ),
    layer_norm: "native_layer_norm _fused_rms_norm",
    group_norm: "native_group_norm",
    softmax: "_softmax _log_softmax _safe_softmax",
    reduced: "mean sum amax amin max min var std var_mean std_mean linalg_vector_norm norm logsumexp prod all any",
    scanned: "cumsum cumprod cummax cummin logcumsumexp sort topk median kthvalue mode argmax argmin argsort",
}


def operations(names: str) -> list[Any]:
    """Every overload of the operations of these names, apart by spaces, and of their in-place forms."""
    forms = (form for name in names.split() for form in (name, f"{name}_"))
    packets = [packet for form in forms if (packet := getattr(torch.ops.aten, form, None)) is not None]
    return [getattr(packet, overload) for packet in packets for overload in packet.overloads()]


def _table() -> dict[Any, Rule]:
    table = {operation: rule for rule, names in OPERATIONS.items() for operation in operations(names)}
    # The larger of two tensors is found index by index.
    return table | {operation: pointwise for operation in table if operation._overloadname == "other"}


RULES: dict[Any, Rule] = _table()
