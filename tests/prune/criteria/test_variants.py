"""The plain truth about a silent unit: one full forward pass with its channels zero where the next layer reads them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.prune.nets import Net, lively
from windfirm.errors import InputError
from windfirm.prune.criteria import score
from windfirm.prune.criteria.kl_divergence import divergence
from windfirm.prune.structure import Structure, anatomy

IMAGES = torch.rand(7, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(7) % 3
BATCHES = [(IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:])]


def residual() -> Any:
    """A stem, a residual block with a norm and an activation in place, a branch of its own size, and a classifier."""

    def run(m: Net, x: Tensor) -> Tensor:
        x = F.relu(m.n(m.a(x)), inplace=True)
        x = m.relu(x + m.m(m.c(F.relu(m.k(m.b(x)), inplace=True))))
        logits: Tensor = m.d(x.mean((2, 3)))
        return logits

    layers = {"a": nn.Conv2d(2, 4, 3, padding=1), "n": nn.BatchNorm2d(4), "b": nn.Conv2d(4, 5, 3, padding=1)}
    layers |= {"k": nn.BatchNorm2d(5), "c": nn.Conv2d(5, 4, 3, padding=1), "m": nn.BatchNorm2d(4), "relu": nn.ReLU()}
    return lively(Net(run, **layers, d=nn.Linear(4, 3)))


def read_silently(model: nn.Module, names: Sequence[str], channel: int) -> Tensor:
    """The outputs with one channel zero in what the modules of these names read."""

    def silent(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        x[:, channel] = 0
        return (x,)

    hooks = [model.get_submodule(name).register_forward_pre_hook(silent) for name in names]
    with torch.no_grad():
        logits: Tensor = model(IMAGES)
    for hook in hooks:
        hook.remove()
    return logits


def features(model: Any, names: Sequence[str], channel: int) -> Tensor:
    """What the last layer then reads."""
    seen: list[Tensor] = []
    hook = model.d.register_forward_hook(lambda _m, args, _o: seen.append(args[0].clone()))
    read_silently(model, names, channel)
    hook.remove()
    return seen[0]


def plain_kl(logits: Tensor, silent: Tensor) -> Tensor:
    q = silent.softmax(1)
    return (q * (q.log() - logits.softmax(1).log())).sum(1).mean()


def plain_cka(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def named(scores: dict[Structure, Tensor]) -> dict[str, Tensor]:
    return {structure.name: values for structure, values in scores.items()}


def test_kl_divergence_is_the_plain_loop_over_full_forward_passes() -> None:
    model = residual().eval()
    body = anatomy(model, IMAGES[:1])
    found = named(score("kl-divergence", model, body.structures, BATCHES, body=body))
    with torch.no_grad():
        logits = model(IMAGES)
    readers = {"b": ["c"], "a": ["b", "d"]}  # the stream is read by the block and the classifier
    assert set(found) >= set(readers)
    for name, by in readers.items():
        wanted = torch.stack([plain_kl(logits, read_silently(model, by, u)) for u in range(len(found[name]))])
        assert torch.allclose(found[name], wanted, rtol=1e-9, atol=1e-15)


def test_a_silent_block_adds_nothing() -> None:
    model = residual().eval()
    body = anatomy(model, IMAGES[:1])
    (block,) = (s for s in body.structures if s.kind == "block")
    (value,) = score("kl-divergence", model, [block], BATCHES, body=body)[block]
    with torch.no_grad():
        stream = model.relu(model.n(model.a(IMAGES)))
        logits, alone = model(IMAGES), model.d(stream.mean((2, 3)))
        features = model.relu(stream + model.m(model.c(model.relu(model.k(model.b(stream))))))
    assert torch.allclose(value, plain_kl(logits, alone), rtol=1e-9)
    (value,) = score("cka", model, [block], [(IMAGES, LABELS)], body=body)[block]
    assert float(value) == pytest.approx(1 - plain_cka(features.mean((2, 3)), stream.mean((2, 3))), rel=1e-9)


def test_cka_compares_what_the_last_layer_reads() -> None:
    model = residual().eval()
    body = anatomy(model, IMAGES[:1])
    found = named(score("cka", model, body.structures, [(IMAGES, LABELS)], body=body))
    whole = features(model, [], 0)
    for name, by in {"b": ["c"], "a": ["b", "d"]}.items():
        wanted = [1 - plain_cka(whole, features(model, by, u)) for u in range(len(found[name]))]
        assert found[name].tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_cka_sums_its_terms_over_batches() -> None:
    model = residual().eval()
    body = anatomy(model, IMAGES[:1])
    found = named(score("cka", model, body.structures, BATCHES, body=body))
    whole = features(model, [], 0)
    for name, by in {"b": ["c"], "a": ["b", "d"]}.items():
        for unit, value in enumerate(found[name].tolist()):
            silent = features(model, by, unit)
            terms = torch.zeros(3, dtype=torch.float64)
            for rows in (slice(0, 4), slice(4, 7)):
                x, y = (f[rows] - f[rows].mean(0) for f in (whole, silent))
                terms += torch.stack([(y.T @ x).square().sum(), (x.T @ x).square().sum(), (y.T @ y).square().sum()])
            assert value == pytest.approx(1 - float(terms[0] / (terms[1] * terms[2]).sqrt()), rel=1e-9, abs=1e-12)


CHANNELS: dict[str, Callable[[], nn.Module]] = {
    "grouped": lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.SiLU(), nn.Conv2d(4, 3, 1)),
    "whole groups": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU6(), nn.Conv2d(4, 3, 3, (2, 1))
    ),
    "transposed": lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ConvTranspose2d(3, 4, 2), nn.ReLU(), nn.Conv2d(4, 3, 1)),
    "linear": lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 5), nn.Linear(5, 3)),
    "normed": lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(4, 4), nn.Hardswish(), nn.Conv2d(4, 3, 1)),
    "dilated": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3, 2, 1, 2), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
    ),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_every_way_of_reading(name: str) -> None:
    """Each layer is silenced in turn: the next one that mixes channels reads zeros."""
    model = lively(Net(lambda m, x: m.end(m.body(x).flatten(1)[:, :3]), body=CHANNELS[name](), end=nn.Linear(3, 3)))
    model.eval()
    body = anatomy(model, IMAGES[:1])
    scores = score("kl-divergence", model, body.structures, BATCHES, body=body)
    assert scores
    with torch.no_grad():
        logits = model(IMAGES)
    for structure, values in scores.items():
        readers = [piece for piece in structure.slices if piece.role == "in"]
        for unit in range(structure.size):
            silent = lively_copy(model, [(piece.tensor, piece.axis, piece.indices[unit]) for piece in readers])
            with torch.no_grad():
                wanted = plain_kl(logits, silent(IMAGES))
            assert torch.allclose(values[unit], wanted, rtol=1e-9, atol=1e-15), (structure.name, unit)


def lively_copy(model: nn.Module, parts: Sequence[tuple[str, int, tuple[int, ...]]]) -> nn.Module:
    """A copy in which the readers' weights for some channels are zero: another way to read zeros."""
    import copy

    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, axis, indices in parts:
            twin.get_parameter(name).index_fill_(axis, torch.tensor(indices), 0)
    return twin


def test_rows_may_be_tokens_and_heads() -> None:
    """A small transformer block: what a linear layer reads has many rows an image."""

    def run(m: Net, x: Tensor) -> Tensor:
        tokens = m.a(x).flatten(2).transpose(1, 2)
        tokens = tokens + m.c(F.gelu(m.b(m.n(tokens))))
        logits: Tensor = m.d(tokens.mean(1))
        return logits

    layers = {"a": nn.Conv2d(2, 6, 4, 4), "n": nn.LayerNorm(6), "b": nn.Linear(6, 5), "c": nn.Linear(5, 6)}
    model = lively(Net(run, **layers, d=nn.Linear(6, 3))).eval()
    body = anatomy(model, IMAGES[:1])
    (hidden,) = (s for s in body.structures if s.name == "b")
    values = score("kl-divergence", model, [hidden], BATCHES, body=body)[hidden]
    with torch.no_grad():
        logits = model(IMAGES)
        wanted = [plain_kl(logits, lively_copy(model, [("c.weight", 1, (u,))])(IMAGES)) for u in range(5)]
    assert torch.allclose(values, torch.stack(wanted), rtol=1e-9)


def test_small_divergences_lose_no_digits() -> None:
    log_p = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    move = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64) * 1e-9
    log_q = (log_p + move).log_softmax(1)
    mean = (log_p.exp() * move).sum()
    second_order = (log_p.exp() * (move - mean).square()).sum() / 2
    assert float(divergence(log_p, log_q)) == pytest.approx(float(second_order), rel=1e-6)


@pytest.mark.parametrize("gap", [1e-9, 1e-3, 1.0, 30.0, 700.0, 800.0, 1e5])
def test_the_divergence_of_two_sure_and_opposite_answers_is_the_gap_between_them(gap: float) -> None:
    logits = torch.tensor([[0.0, -gap], [0.0, -gap]], dtype=torch.float64)
    log_p, log_q = logits.log_softmax(1), torch.stack([logits[0].flip(0), logits[1]]).log_softmax(1)
    # By hand q₀ − q₁ = tanh(gap / 2), and log q − log p is the gap, up and down.
    wanted = pytest.approx([gap * math.tanh(gap / 2), 0.0], rel=1e-12)
    assert divergence(log_p, log_q).tolist() == divergence(log_q, log_p).tolist() == wanted


def test_one_image_has_no_alignment() -> None:
    model = residual().eval()
    body = anatomy(model, IMAGES[:1])
    with pytest.raises(InputError, match="at least two images"):
        score("cka", model, body.structures, [(IMAGES[:1], LABELS[:1])], body=body)
