"""What strangers' networks do: each is either cut and proved, or frozen with a reason that names the operation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.prune.nets import EXAMPLE, Net, frozen, lively, proved
from windfirm.errors import CutError
from windfirm.models.cost import cost
from windfirm.models.resnet import BasicBlock
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import anatomy, structures
from windfirm.prune.verify import silencing

Run = Callable[[Any, Tensor], object]


def conv(i: int, o: int, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1, **how)


def par(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


def between(step: Run, width: int = 4, **modules: nn.Module | nn.Parameter) -> Any:
    """Four channels from ``a``, the step, and ``b`` with ``width`` channels in."""
    return lively(Net(lambda m, x: m.b(step(m, m.a(x))).mean((2, 3)), a=conv(2, 4), b=conv(width, 3), **modules))


def relu_on_a_view(m: Net, x: Tensor) -> Tensor:
    F.relu_(x.view(x.shape[0], -1))
    return x


def shuffle(m: Net, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def squeeze_excite(m: Any, x: Tensor) -> Tensor:
    gate: Tensor = m.up(F.relu(m.down(x.mean((2, 3))))).sigmoid()
    return x * gate[:, :, None, None]


def per_channel_blur(m: Any, x: Tensor) -> Tensor:
    blurred: Tensor = F.conv2d(x.reshape(-1, 1, 8, 8), m.k, padding=1)
    return blurred.reshape(x.shape) + x


def halves_swapped(m: Net, x: Tensor) -> Tensor:
    return torch.cat((x[:, 2:], x[:, :2]), 1) + x


def written_into_a_part(m: Net, x: Tensor) -> Tensor:
    whole = x.new_zeros(x.shape[0], x.shape[1] + 2, *x.shape[2:])
    whole[:, 2:] = x
    return whole


def written_into_constants(m: Net, x: Tensor) -> Tensor:
    whole = torch.zeros(x.shape[0], x.shape[1], 10, 10, dtype=x.dtype)
    whole[:, :, 1:-1, 1:-1] = x
    return whole


def clipped_in_place(m: Net, x: Tensor) -> Tensor:
    y = x.clone()
    y[y < 0.1] = 0.1
    return y


def spread_kernel(m: Any, x: Tensor) -> Tensor:
    return F.conv2d(x, m.k.expand(x.shape[1], -1, -1, -1), padding=1, groups=x.shape[1])


def unpooled(m: Net, x: Tensor) -> Tensor:
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(pooled, places, (2, 2))


def added_to_a_part(m: Net, x: Tensor) -> Tensor:
    x[:, : x.shape[1] // 2].add_(1).mul_(2)
    return x.clone()


def places(x: Tensor) -> Tensor:
    """One more in every other channel, as positions are often told."""
    one = x.new_ones(x.shape)
    one[:, ::2] += 1
    return one


class Standardised(nn.Conv2d):
    """Each kernel over its own standard deviation, so that filters and channels do not meet in the statistics."""

    def forward(self, input: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, (2, 3), keepdim=True)
        return F.conv2d(input, (self.weight - mean) / (deviation + 1), self.bias, padding=self.padding)


class Heads(nn.Module):
    """Attention over positions as it is often written, with the number of heads and their width as attributes."""

    def __init__(self, width: int, heads: int, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.heads, self.width, self.norm = heads, width // heads, norm or nn.Identity()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).view(b, h * w, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(self.norm(q), k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).view(b, -1, h, w)


CUT = {
    "relu in place on a view": between(relu_on_a_view),
    "a channel shuffle by hand": between(shuffle),
    "a channel shuffle": between(lambda m, x: F.channel_shuffle(x, 2)),
    "a pixel shuffle": between(lambda m, x: F.pixel_shuffle(m.c(x), 2), 4, c=conv(4, 16)),
    "halves swapped": between(lambda m, x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "a gate by halves": between(lambda m, x: x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :].sigmoid(), 2),
    "a gated linear unit": between(lambda m, x: F.glu(x, 1), 2),
    "groups": between(lambda m, x: m.g(x), g=conv(4, 4, groups=2)),
    "transposed groups": between(lambda m, x: m.g(x), 8, g=nn.ConvTranspose2d(4, 8, 2, 2, groups=2)),
    "group norm": between(lambda m, x: m.n(x), n=nn.GroupNorm(2, 4)),
    "instance norm": between(lambda m, x: m.n(x), n=nn.InstanceNorm2d(4, affine=True)),
    "a rectifier with parameters": between(lambda m, x: m.p(x), p=nn.PReLU(4)),
    "written into a part": between(written_into_a_part, 6),
    "added to a part in place": between(added_to_a_part),
    "written into constants": between(written_into_constants),
    "clipped in place by a mask": between(clipped_in_place),
    "padded in a circle": between(lambda m, x: m.c(x.relu()), c=conv(4, 4, padding_mode="circular")),
    "norm over space": between(lambda m, x: m.n(x), n=nn.LayerNorm((8, 8))),
    "pooled and unpooled": between(unpooled),
    "the place of the largest": between(lambda m, x: x * x.flatten(2).mT.argmax(1)[:, :, None, None]),
    "one kernel for every channel": between(spread_kernel, k=par(1, 1, 3, 3)),
    "seldom functions": between(lambda m, x: torch.hypot(x.sinh(), x.trunc() + x.tan())),
    "standardised weights": between(lambda m, x: m.s(x), 5, s=Standardised(4, 5, 3, padding=1)),
    "heads of attention": between(lambda m, x: m.h(x), h=Heads(4, 2)),
    "heads of attention with normalised queries": between(lambda m, x: m.h(x), h=Heads(4, 2, nn.LayerNorm(2))),
    "the same tensor twice": between(lambda m, x: torch.cat([x, x], 1), 8),
    "squeeze and excite": between(squeeze_excite, down=nn.Linear(4, 2), up=nn.Linear(2, 4)),
    "transposed": between(lambda m, x: m.t(x), 5, t=nn.ConvTranspose2d(4, 5, 2, 2)),
    "a shared convolution": between(lambda m, x: m.s(F.relu(m.s(x))), s=conv(4, 4)),
    "padded channels": between(lambda m, x: F.pad(x, (0, 0, 0, 0, 1, 2)), 7),
    "no affine": between(lambda m, x: m.n(x), n=nn.BatchNorm2d(4, affine=False)),
    "no statistics": between(lambda m, x: m.n(x), n=nn.BatchNorm2d(4, track_running_stats=False)),
    "a learned scale and shift": between(lambda m, x: x * m.g + m.s, g=par(1, 4, 1, 1), s=par(4, 8, 8)),
    "one channel of attention": between(lambda m, x: x * m.s(x).sigmoid(), s=conv(4, 1)),
    "dropout": between(lambda m, x: m.d(x), d=nn.Dropout()),
    "linear on the last axis": between(
        lambda m, x: m.l(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 5, l=nn.Linear(4, 5)
    ),
    "a shortcut without padding": between(lambda m, x: m.k(x), k=BasicBlock(4, 4, 2)),
    "unused parameters": between(lambda m, x: x, u=conv(4, 4)),
    "one dimension": lively(
        Net(
            lambda m, x: m.f(m.n(m.d(F.max_pool1d(m.a(x.flatten(2)), 2))).mean(2)),
            a=nn.Conv1d(2, 4, 3), d=nn.Conv1d(4, 4, 3, groups=4), n=nn.BatchNorm1d(4), f=nn.Linear(4, 3),
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_cut_and_proved(name: str) -> None:
    smaller, chosen, error = proved(CUT[name], seed=1, ratio=0.5)
    assert frozen(CUT[name])["a"] is None
    assert any(structure.name == "a" for structure in chosen.removed)
    assert error < 1e-9
    result = smaller.train()(torch.rand(2, 2, 8, 8, dtype=torch.float64))
    result.sum().backward()


FROZEN = {
    "a size written into the code: aten.slice.Tensor in the network gives": between(halves_swapped),
    "aten.mul.Tensor in the network meets a tensor that cannot shrink": between(
        lambda m, x: x * torch.ones_like(x).cumsum(1)
    ),
    "aten.add.Tensor in the network meets a tensor that cannot shrink": between(
        lambda m, x: x + F.pad(torch.ones_like(x[:, 1:]), (0, 0, 0, 0, 0, 1))
    ),
    "aten.div.Tensor in the network meets a tensor that cannot shrink": between(lambda m, x: x / places(x)),
    "aten.roll.default in the network": between(lambda m, x: x.roll(1, 1)),
    "aten.slice.Tensor in the network takes a fixed number of indices": between(lambda m, x: x[:, ::2], 2),
    "aten.select.int in the network takes a fixed number of indices": between(lambda m, x: x[:, 1][:, None] * x),
    "the network convolves along this axis": between(per_channel_blur, k=par(1, 1, 3, 3)),
    "no rule for aten.tril.default in the network": between(lambda m, x: x.transpose(1, 2).tril().transpose(1, 2)),
    "aten.sort.default in the network": between(lambda m, x: x.sort(1)[0]),
    "no rule for aten.index_put_.default in the network": between(
        lambda m, x: x.clone().index_put_((torch.tensor([0]), torch.tensor([1])), torch.ones(8, 8, dtype=x.dtype))
    ),
    "aten.median.default in the network": between(lambda m, x: x * x.median()),
    "aten.argmax.default in the network": between(lambda m, x: x * x.mean((2, 3)).argmax(None, True)),
    "aten.max.dim in the network": between(lambda m, x: x * x.max(1, keepdim=True)[1]),
    "the network multiplies tensor by tensor": between(
        lambda m, x: torch.bmm(torch.bmm(x.flatten(2), x.flatten(2).mT), x.flatten(2)).view(x.shape)
    ),
    "r is recurrent, and cannot be followed": between(
        lambda m, x: m.r(x.flatten(2).transpose(1, 2))[0].transpose(1, 2).view(x.shape),
        r=nn.LSTM(4, 4, batch_first=True),
    ),
    "the network computes its weight": between(lambda m, x: F.conv2d(x, m.w * x.mean(), padding=1), w=par(4, 4, 3, 3)),
}


@pytest.mark.parametrize("reason", FROZEN)
def test_frozen_with_the_reason_and_the_rest_is_cut(reason: str) -> None:
    found = frozen(FROZEN[reason])["a"]
    assert found is not None
    assert found.startswith(reason), found
    assert proved(FROZEN[reason])[2] < 1e-9


def test_who_asks_which_channel_is_the_largest_keeps_all_and_who_asks_how_large_does_not() -> None:
    def largest(read: Run) -> Any:
        layers = {"a": conv(2, 4), "b": nn.Linear(4, 4), "c": nn.Linear(1, 3), "e": nn.Embedding(4, 3)}
        return lively(Net(lambda m, x: read(m, m.b(m.a(x).mean((2, 3))).max(1, keepdim=True)), **layers))

    reason = "aten.max.dim in the network"
    assert frozen(largest(lambda m, found: (m.c(found[0]), found[1])))["b"] == reason
    looked_up = largest(lambda m, found: m.c(found[0]) + m.e(found[1][:, 0]))
    assert frozen(looked_up)["b"] == reason
    with pytest.raises(CutError, match="expected the outputs of the silenced original"):
        cut(looked_up, Cut({anatomy(looked_up, EXAMPLE).named("b"): (0, 2)}), EXAMPLE)
    maxout = largest(lambda m, found: m.c(found[0]))
    assert frozen(maxout)["b"] is None
    smaller = cut(maxout, Cut({anatomy(maxout, EXAMPLE).named("b"): (0, 2)}), EXAMPLE)
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    by_hand = maxout.c(maxout.b(maxout.a(images).mean((2, 3)))[:, [1, 3]].amax(1, keepdim=True))
    assert torch.allclose(smaller(images), by_hand, rtol=1e-12, atol=1e-12)


def test_heads_leave_also_where_queries_are_normalised() -> None:
    plain, normalised = (frozen(between(lambda m, x: m.h(x), h=Heads(4, 2, norm))) for norm in (None, nn.LayerNorm(2)))
    assert plain == normalised
    assert plain["h.qkv"] is None


def test_after_a_write_into_constants_blocks_are_found_and_kernels_count() -> None:
    model = between(lambda m, x: m.k(written_into_constants(m, x)), k=BasicBlock(4, 4, 1))
    assert frozen(model) == {"a": None, "b": "an output of the network", "k.conv1": None, "k.bn2": None}
    model = between(spread_kernel, k=par(1, 1, 3, 3))
    smaller, chosen, _ = proved(model, ratio=0.5)
    assert anatomy(model, EXAMPLE).macs(chosen.removed) == cost(smaller, EXAMPLE).macs


def test_a_number_that_one_layer_needs_and_another_cannot_lose_freezes_no_third() -> None:
    class NonLocal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width = 6
            self.query, self.key, self.value, self.out = (nn.Conv2d(*io, 1) for io in ((4, 6), (4, 6), (4, 6), (6, 4)))

        def forward(self, x: Tensor) -> Tensor:
            value = self.value(x).view(len(x), self.width, -1)
            query, key = (layer(x).view(len(x), self.width, -1) for layer in (self.query, self.key))
            return x + self.out((value @ (query.mT @ key)).view(len(x), self.width, *x.shape[2:]))  # type: ignore[no-any-return]

    found = frozen(between(lambda m, x: m.n(x), n=NonLocal()))
    assert found["a"] is None
    assert str(found["n.value"]).startswith("a size written into the code: aten.view.default in n gives")


def test_a_channel_that_meets_all_others_stays_and_the_others_leave() -> None:
    model = between(lambda m, x: x * x[:, -1:].sigmoid())
    reasons = {structure.name: structure.frozen for structure in structures(model, EXAMPLE)}
    assert reasons["a"] is None
    assert reasons["a#2"] == "aten.mul.Tensor in the network spreads one index over 4"
    smaller, _, error = proved(model, seed=1, ratio=0.5)
    assert smaller.get_parameter("a.weight").shape[0] == 2
    assert error < 1e-9


def test_what_varies_over_the_image_alone_lets_channels_leave() -> None:
    def run(m: Net, x: Tensor) -> Tensor:
        border = F.pad(torch.ones_like(x[..., 1:-1, 1:-1]), (1, 1, 1, 1))
        rows = torch.ones_like(x).cumsum(2)
        half = torch.cat([x.new_ones(*x.shape[:3], 4), x.new_zeros(*x.shape[:3], 4)], 3)
        one = x.new_ones(x.shape)
        one[:, :, 2:5] = 3
        return x * border + rows * half - one

    assert frozen(between(run))["a"] is None
    assert proved(between(run), seed=1, ratio=0.5)[2] < 1e-9


def test_a_layer_with_a_weight_that_cannot_be_followed_is_listed() -> None:
    model = between(lambda m, x: x + m.c(m.w(x)), w=weight_norm(conv(4, 4)), c=weight_norm(conv(4, 4)))
    found = {s.name: (s.size, s.kind, s.frozen) for s in anatomy(model, EXAMPLE).structures}
    reason = "no rule for aten._weight_norm_interface.default in w.parametrizations.weight.0"
    assert found["w.parametrizations.weight.original1"] == (4, "filters", reason)
    assert found["c"] == (1, "block", None)


def test_pooling_without_a_batch_axis_keeps_its_channels() -> None:
    model = between(lambda m, x: F.max_pool2d(x[0], 2)[None])
    assert frozen(model)["a"] is None
    model = between(lambda m, x: F.max_pool2d(x.squeeze(0), 2).unsqueeze(0))
    assert frozen(model)["a"] is None


def test_what_is_added_to_a_frozen_tensor_is_frozen_through_a_norm() -> None:
    model = Net(lambda m, x: m.b(m.n(m.g(x).tril() + m.a(x))), a=conv(2, 4), b=conv(4, 3), g=conv(2, 4))
    model.n = nn.BatchNorm2d(4)
    assert frozen(lively(model))["a"] is not None
    assert proved(model)[1].units == 0


STATISTICS: dict[str, tuple[Run, dict[str, nn.Module]]] = {
    "layer norm": (lambda m, x: m.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), {"n": nn.LayerNorm(4)}),
    "group norm of one group": (lambda m, x: m.n(x), {"n": nn.GroupNorm(1, 4)}),
    "softmax": (lambda m, x: x.softmax(1), {}),
    "mean over channels": (lambda m, x: x - x.mean(1, keepdim=True), {}),
    "largest channel": (lambda m, x: x * x.amax(1, keepdim=True), {}),
    "length over channels": (lambda m, x: F.normalize(x, dim=1), {}),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_over_channels_are_taken_over_those_that_stay(name: str) -> None:
    step, modules = STATISTICS[name]
    model = between(step, 4, **modules)
    body = anatomy(model, EXAMPLE).named("a")
    smaller = cut(model, Cut({body: (1, 2)}), EXAMPLE)
    # By hand: the same step between filters 0 and 3 and the weights that read them.
    by_hand = between(
        step, 2, **{n: type(m)(*((1, 2) if name.startswith("group") else (2,))) for n, m in modules.items()}
    )
    stays = torch.tensor([0, 3])
    for key, value in model.state_dict().items():
        source = value[:, stays] if key == "b.weight" else value[stays] if key[0] in "an" else value
        by_hand.get_parameter(key).data = source.clone()
    by_hand.a.weight.data = model.a.weight[stays]
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    assert torch.allclose(smaller(images), by_hand(images), rtol=1e-12, atol=1e-12)
    assert silencing(anatomy(model, EXAMPLE), Cut({body: (1, 2)})).changes
    assert not silencing(anatomy(model, EXAMPLE), Cut({body: ()})).changes


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_padded_channel_belongs_to_no_filter(value: float) -> None:
    model = between(lambda m, x: F.pad(x, (0, 0, 0, 0, 1, 2), value=value), 7)
    body = anatomy(model, EXAMPLE).named("a")
    assert next(piece.indices for piece in body.slices if piece.role == "in") == ((1,), (2,), (3,), (4,))
    smaller = cut(model, Cut({body: (0, 3)}), EXAMPLE)
    assert smaller.get_parameter("b.weight").shape == (3, 5, 3, 3)


@pytest.mark.parametrize("kind", ["convolution", "norm"])
def test_tied_parameters_shrink_together(kind: str) -> None:
    make: Callable[[], Any] = (lambda: conv(4, 4)) if kind == "convolution" else (lambda: nn.BatchNorm2d(4))
    model = Net(lambda m, x: m.b(m.t(F.relu(m.s(m.a(x))))), a=conv(2, 4), b=conv(4, 3), s=make(), t=make())
    model.t.weight = model.s.weight
    smaller, chosen, error = proved(lively(model))
    assert chosen.units
    assert error < 1e-9
    assert smaller.get_submodule("t").weight is smaller.get_submodule("s").weight


def test_a_weight_that_makes_and_reads_the_same_channels_stays_whole() -> None:
    model = Net(lambda m, x: m.t(m.a(x)), a=conv(2, 4), t=nn.ConvTranspose2d(4, 2, 3, padding=1))
    model.t.weight = model.a.weight
    assert proved(lively(model))[1].units == 0


def test_functional_convolutions_with_parameters_constants_and_buffers() -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        y = F.conv2d(F.conv2d(x, m.w, m.c), m.v, torch.ones(3, dtype=x.dtype))
        out: Tensor = m.b(y)
        return out

    model = lively(Net(run, w=par(4, 2, 3, 3), c=par(4), v=par(3, 4, 3, 3), b=conv(3, 2)))
    assert frozen(model) == {"w": None, "v": "the bias of the network", "b": "an output of the network"}


class WithAuxiliary(nn.Module):
    """A second head that runs in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b, self.aux = conv(2, 4), nn.BatchNorm2d(4), conv(4, 3), conv(4, 3)

    def forward(self, x: Tensor) -> Any:
        y = self.n(self.a(x))
        return (self.b(y), self.aux(y)) if self.training else self.b(y)


def test_a_head_that_runs_in_training_alone_shrinks_too() -> None:
    smaller, chosen, error = proved(lively(WithAuxiliary()), ratio=0.5)
    assert chosen.units
    assert error < 1e-9
    main, auxiliary = smaller.train()(torch.rand(2, 2, 8, 8, dtype=torch.float64))
    assert main.shape == auxiliary.shape == (2, 3, 8, 8)


class WithMemory(nn.Module):
    """Means of channels, and the channels of the last images, which training alone looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = conv(2, 4), nn.BatchNorm2d(4), conv(4, 3)
        self.mean: Tensor
        self.queue: Tensor
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("queue", torch.zeros(5, 4))

    def forward(self, x: Tensor) -> Any:
        y = self.n(self.a(x))
        if self.training:
            means = y.detach().mean((2, 3))
            self.mean.mul_(0.9).add_(means.mean(0), alpha=0.1)
            self.queue = torch.cat([means[:1], self.queue[:-1]])
        return self.b(y.relu())


def test_a_buffer_that_training_alone_uses_shrinks_too() -> None:
    smaller, chosen, error = proved(lively(WithMemory()), ratio=0.5)
    assert chosen.units
    assert error < 1e-9
    smaller.train()(torch.rand(2, 2, 8, 8, dtype=torch.float64))
    assert [smaller.get_buffer(name).shape[-1] for name in ("mean", "queue")] == [2, 2]


def test_a_batch_norm_of_constants_is_frozen() -> None:
    model = between(lambda m, x: F.batch_norm(x, torch.zeros(4).to(x), torch.ones(4).to(x)))
    reason = frozen(model)["a"]
    assert reason is not None
    assert reason.endswith("running_mean should contain 2 elements not 4")


def test_outputs_in_any_container_stay_whole() -> None:
    model = lively(
        Net(lambda m, x: (lambda y: {"logits": [m.b(y)], "map": (y, 3)})(m.a(x)), a=conv(2, 4), b=conv(4, 3))
    )
    assert set(frozen(model).values()) == {"an output of the network"}


def test_a_number_of_channels_in_the_code_freezes_what_it_names() -> None:
    model = between(lambda m, x: F.conv2d(x, m.w, padding=1, groups=4), w=par(4, 1, 3, 3))
    assert frozen(model)["w"] == (
        "a size written into the code: aten.convolution.default in the network gives 4 groups in place of 2"
    )


def test_another_number_of_axes_or_of_results_is_told_in_plain_words() -> None:
    pooled = between(lambda m, x: m.f(x.mean((2, 3), keepdim=True).squeeze())[:, :, None, None], f=nn.Linear(4, 4))
    images, two = EXAMPLE.expand(3, -1, -1, -1), lively(Net(pooled.run, a=conv(2, 2), b=conv(4, 1), f=nn.Linear(2, 4)))
    assert frozen(pooled, images)["a"] is None
    size = "a size written into the code"
    wanted = f"{size}: aten.squeeze.default in the network gives a tensor of shape (3,) in place of (3, 1)"
    assert frozen(two, images)["a"] == wanted
    single = between(lambda m, x: torch.cat([part.sigmoid() for part in x.chunk(4, 1)], 1))
    assert frozen(single)["a"] == f"{size}: aten.split.Tensor in the network gives 2 tensors in place of 4"


def test_a_forward_pass_that_draws_random_numbers_cannot_be_proved() -> None:
    with pytest.raises(CutError) as error:
        proved(between(lambda m, x: m.s(F.dropout(x)), s=conv(4, 4)))
    same = "cut: expected a network that gives the same inputs the same outputs"
    assert str(error.value) == f"{same}, got others from pass to pass: it draws at random"


def test_example_shape_is_not_mistaken_for_channels() -> None:
    square = torch.zeros(4, 2, 4, 4, dtype=torch.float64)  # as many images and pixels as channels
    assert proved(between(lambda m, x: x.transpose(2, 3).contiguous()), square)[2] < 1e-9
    assert proved(between(lambda m, x: x * x.mean((2, 3), keepdim=True)), EXAMPLE)[2] < 1e-9
