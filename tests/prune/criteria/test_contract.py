"""What holds for every criterion, those that are added later as well."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import lively
from windfirm.errors import InputError, TraceError, WindfirmError
from windfirm.prune.criteria import CRITERIA, score, scores
from windfirm.prune.observe import Batches
from windfirm.prune.structure import Structure, structures

NAMES = list(CRITERIA)
LOOKING = [name for name in NAMES if CRITERIA[name].data]

Batch = tuple[Tensor, Tensor]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.m = nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.b, self.n = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.n(self.b(self.m(self.a(x)).relu())))


def network() -> Any:
    """Filter groups "0" (5 filters), "3" (4) and "6.a" (3), and the block "6"."""
    before = nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    return lively(nn.Sequential(*before, Residual(), nn.Flatten(), nn.Linear(64, 3)))


def data(images: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, 2, 8, 8, generator=generator, dtype=torch.float64), torch.arange(images) % 3


def batches(*sizes: int) -> list[Batch]:
    images, labels = data(sum(sizes))
    return list(zip(torch.split(images, list(sizes)), torch.split(labels, list(sizes)), strict=True))


def found(model: nn.Module) -> tuple[Structure, ...]:
    return structures(model, data(1)[0].to(next(model.parameters()).dtype))


def by_name(
    name: str, model: nn.Module, given: Batches, free: tuple[Structure, ...] | None = None
) -> dict[str, Tensor]:
    return {s.name: values for s, values in score(name, model, free or found(model), given).items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor], rel: float = 1e-6) -> None:
    assert a.keys() == b.keys()
    for name, values in a.items():
        assert b[name].tolist() == pytest.approx(values.tolist(), rel=rel, abs=1e-9 * float(values.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_every_filter_group_and_block_has_its_scores(name: str) -> None:
    result = by_name(name, network(), batches(12))
    assert {key: tuple(values.shape) for key, values in result.items()} == {
        "0": (5,),
        "3": (4,),
        "6.a": (3,),
        "6": (1,),
    }
    assert all(values.dtype is torch.float64 and not values.requires_grad for values in result.values())
    assert all(
        len(set(values.tolist())) > 1 for values in result.values() if len(values) > 1
    )  # else no test could fail


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_filters_in_another_order_have_their_scores_in_that_order(name: str) -> None:
    model = network()
    before, order = by_name(name, model, batches(12)), [3, 0, 4, 1, 2]
    with torch.no_grad():
        for tensor in (*model[0].parameters(), *model[1].parameters(), model[1].running_mean, model[1].running_var):
            tensor.copy_(tensor[order].clone())
        model[3].weight.copy_(model[3].weight[:, order].clone())
    after = by_name(name, model, batches(12))
    assert_same(before | {"0": before["0"][order]}, after)


@pytest.mark.parametrize("name", NAMES)
def test_a_hook_that_logs_changes_neither_structures_nor_scores(name: str) -> None:
    model, log = network(), []
    before = by_name(name, model, batches(12))
    for path in ("0", "3", "6", "6.a", "6.b"):
        model.get_submodule(path).register_forward_hook(lambda m, args, out: log.append(out.detach().mean((1, 2, 3))))
    assert_same(before, by_name(name, model, batches(12)))
    assert log


def state(model: nn.Module) -> Any:
    """All that a criterion could leave behind."""
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = [len(getattr(module, kind)) for module in model.modules() for kind in kinds]
    return tensors, wanted, hooks, [module.training for module in model.modules()]


def assert_left_alone(before: Any, model: nn.Module) -> None:
    after = state(model)
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())
    assert before[1:] == after[1:]


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_left_as_it_was_also_when_the_images_end_badly(name: str) -> None:
    model = network().train()
    model[1].eval()
    model[3].requires_grad_(False)
    model[2].register_forward_hook(lambda *_: None)
    free, before = found(model), state(model)
    score(name, model, free, batches(6, 6))
    assert_left_alone(before, model)
    bad = [*batches(6), (torch.ones(1, 7, 8, 8), torch.zeros(1))]
    if CRITERIA[name].data:
        with pytest.raises(InputError):
            score(name, model, free, bad)
    assert_left_alone(before, model)


class Counting(nn.Module):
    """A layer that keeps an average of what it sees, also in eval mode, and merges it into its weight on eval()."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.merged = nn.Parameter(torch.rand(4, 1, 1)), False
        self.register_buffer("average", torch.zeros(4, 1, 1))

    def train(self, mode: bool = True) -> "Counting":
        if mode == self.merged:
            self.weight.data += 0.1 if mode else -0.1
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        self.average.lerp_(x.detach().mean((0, 2, 3)).view(4, 1, 1).to(self.average), 0.1)
        return x * self.weight


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_so_is_a_network_that_its_own_forward_pass_or_its_train_changes(name: str, training: bool) -> None:
    model = network().insert(6, Counting()).double().train(training)
    free, before = found(model), state(model)
    with suppress(TraceError):  # from those that replay it
        score(name, model, free, batches(6, 6))
    assert_left_alone(before, model)
    assert model[6].merged is not training


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("cka", "taylor")])
def test_the_batch_size_does_not_matter(name: str) -> None:
    model = network()
    whole = by_name(name, model, batches(12))
    assert_same(whole, by_name(name, model, batches(5, 7)))
    assert_same(whole, by_name(name, model, batches(*[1] * 12)))


@pytest.mark.parametrize("name", [name for name in LOOKING if name != "taylor"])
def test_halves_are_what_even_and_odd_images_give_alone(name: str) -> None:
    model, (images, labels) = network(), data(11)
    free, parts = found(model), torch.split(torch.arange(11), [5, 6])  # the second begins with an odd image
    halves = scores([name], model, free, [(images[i], labels[i]) for i in parts])[name].halves
    assert halves is not None
    for half, values in enumerate(halves):
        own = [part[part % 2 == half] for part in parts]
        alone = score(name, model, free, [(images[i], labels[i]) for i in own])
        assert_same({s.name: v for s, v in alone.items()}, {s.name: v for s, v in values.items()}, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_images_may_be_of_another_precision(name: str) -> None:
    model = network()
    images, labels = data()
    assert_same(
        by_name(name, model, [(images.float().double(), labels)]), by_name(name, model, [(images.float(), labels)])
    )
    model.float()
    assert_same(by_name(name, model, [(images.float(), labels)]), by_name(name, model, [(images, labels)]), 1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_matter_whether_gradients_are_off_around_it(name: str) -> None:
    model = network()
    free = found(model)
    before = by_name(name, model, batches(12), free)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert_same(before, by_name(name, model, batches(12), free))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "fpgm")])
def test_filters_that_do_nothing_rank_lowest(name: str) -> None:
    model = network()
    with torch.no_grad():
        for layer, norm, dead in ((model[0], model[1], 2), (model[6].a, model[6].m, 0)):
            for tensor in (*layer.parameters(), *norm.parameters(), norm.running_mean):
                tensor[dead] = 0
    result = by_name(name, model, batches(12))
    for key, dead in (("0", 2), ("6.a", 0)):
        lowest, second = result[key].sort().values[:2].tolist()
        assert result[key][dead].item() == lowest < second


@pytest.mark.parametrize("name", LOOKING)
def test_without_an_image_there_are_no_scores(name: str) -> None:
    model = network()
    empty = data(0)
    for nothing in ([], [empty], [empty, empty], iter(())):
        with pytest.raises(InputError) as error:
            score(name, model, found(model), nothing)
        assert str(error.value) == "batches: expected at least one image, got none"
    assert_same(by_name(name, model, batches(12)), by_name(name, model, [empty, *batches(12)]))


@pytest.mark.parametrize("name", LOOKING)
def test_one_image_gives_scores_or_says_that_it_is_too_few(name: str) -> None:
    model, complaint = network(), ""
    try:
        (whole,) = scores([name], model, found(model), batches(1)).values()
    except InputError as error:
        complaint = str(error)
    assert f"{name}: expected at least two images" in complaint or (whole.scores and whole.halves is None)


@pytest.mark.parametrize("name", LOOKING)
def test_images_that_are_no_numbers_are_refused_in_one_sentence(name: str) -> None:
    model, (images, labels) = network(), data()
    for strange in (torch.nan, torch.inf):
        images[3, 0, 4, 4] = strange
        with pytest.raises(WindfirmError, match=r"expected .*, got ") as error:
            score(name, model, found(model), [(images, labels)])
        assert "\n" not in str(error.value)


class Stream:
    """Batches that count how often they are opened and how many are taken."""

    def __init__(self, given: list[Batch]) -> None:
        self.given, self.opened, self.taken = given, 0, 0

    def __iter__(self) -> Iterator[Batch]:
        self.opened += 1
        for batch in self.given:
            self.taken += 1
            yield batch


def test_all_criteria_together_open_the_batches_once_and_score_as_each_alone() -> None:
    model = network()
    free, stream = found(model), Stream(batches(6, 6))
    together = scores(NAMES, model, free, stream)
    assert (stream.opened, stream.taken) == (1, 2)
    assert list(together) == NAMES
    for name in NAMES:
        alone = scores([name], copy.deepcopy(model), free, batches(6, 6))[name]
        assert together[name].scores.keys() == alone.scores.keys()
        for structure, values in alone.scores.items():
            assert together[name].scores[structure].tolist() == pytest.approx(values.tolist(), rel=1e-9)
        assert (alone.halves is None) == (together[name].halves is None) == (name not in LOOKING)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOOKING])
def test_criteria_of_weights_alone_open_no_batches(name: str) -> None:
    stream = Stream(batches(12))
    score(name, network(), found(network()), stream)
    assert stream.opened == 0
