from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import Counting, hungry, labelled, make, nothing, small_network
from tests.evaluate.toys_masked import AlwaysDropout
from windfirm.attack import Attack, Budget, build
from windfirm.attack.ensemble import ensemble
from windfirm.data.images import Images
from windfirm.errors import InputError, WindfirmError
from windfirm.evaluate import curve, distances, evaluate, examples, loop, transfer


def test_clean_accuracy_is_the_share_of_right_predictions() -> None:
    model = Counting()
    outcome = evaluate(model, labelled(model), build("clean", 8))
    assert outcome.correct.tolist() == [0] * 8 + [1] * 32
    assert (outcome.count, outcome.total, outcome.accuracy) == (32, 40, 0.8)
    assert (outcome.attack, outcome.title, outcome.eps, outcome.trials) == ("clean", "unchanged images", None, 1)


@pytest.mark.parametrize("name", ["semantic", "semantic-shift", "occlusion", "semantic-search", "occlusion-worst"])
def test_the_batch_size_changes_nothing(name: str) -> None:
    model = Counting()
    images = labelled(model)
    attack = build(name, 8, **({"trials": 5} if name == "semantic-search" else {}))
    results = [evaluate(model, images, attack, batch=batch).correct.tolist() for batch in (1, 7, 40)]
    assert results[0] == results[1] == results[2]
    assert 0 < sum(results[0]) < len(images) * attack.trials


def test_an_average_counts_every_draw_of_every_image() -> None:
    model = Counting()
    images = labelled(model)
    attack = build("occlusion", 8, trials=4)
    outcome = evaluate(model, images, attack, seed=3)
    expected = torch.zeros(40, dtype=torch.int64)
    for trial in range(4):
        changed = attack.apply(model, images.images / 255, images.labels, Budget(seed=3, trial=trial))
        expected += model(changed).argmax(1) == images.labels
    assert outcome.correct.tolist() == expected.tolist()
    assert (outcome.trials, outcome.total) == (4, 160)


def test_the_worst_case_is_the_minimum_over_clean_and_every_trial() -> None:
    model = Counting()
    images = labelled(model)
    attack = build("occlusion-worst", 8)
    outcome = evaluate(model, images, attack)
    right = model(images.images / 255).argmax(1) == images.labels
    for trial in range(attack.trials):
        changed = attack.apply(model, images.images / 255, images.labels, Budget(trial=trial))
        right &= model(changed).argmax(1) == images.labels
    assert outcome.correct.tolist() == right.long().tolist()
    assert (outcome.trials, outcome.total) == (1, 40)


def test_images_leave_when_they_are_wrong_or_fooled_and_batches_are_packed_again() -> None:
    model = Counting()
    seen = []

    def fool_one_in_four(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        assert budget.ids is not None
        seen.append((budget.trial, budget.ids.tolist()))
        classes = model.weight.T
        foes = (classes[(labels + 1) % 3] > classes[labels]).float().view_as(images)
        return torch.where((budget.ids % 4 == budget.trial)[:, None, None, None], foes, images)

    outcome = evaluate(model, labelled(model), make(fool_one_in_four, trials=3), batch=16)
    fooled = [i for i in range(8, 40) if outcome.correct[i] == 0]
    assert fooled == [i for i in range(8, 40) if i % 4 != 3]
    assert [(trial, len(ids)) for trial, ids in seen] == [(0, 16), (0, 16), (1, 16), (1, 8), (2, 16)]
    assert seen[-1][1] == [i for i in range(8, 40) if i % 4 in (2, 3)]


def test_nothing_is_attacked_once_every_image_is_fooled() -> None:
    model = Counting()
    outcome = evaluate(model, labelled(model, wrong=40), make(_fail, trials=2))
    assert outcome.count == 0


def _fail(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    raise AssertionError


def _add(value: float) -> Callable[..., Tensor]:
    return lambda model, images, labels, budget: images + value


def _in_place(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    labels.copy_(model(images * 0).argmax(1))
    return images.mul_(0)


class Drawing(nn.Module):
    """Right or wrong as a coin falls."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 3) + x.sum() * 0


def test_a_network_that_draws_is_judged_alike_by_the_same_seed_and_nobody_else_hears_of_it() -> None:
    images = labelled(Counting())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = [evaluate(Drawing(), images, build("occlusion", 8), seed=seed).correct.tolist() for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]
    assert torch.equal(before, torch.get_rng_state())


def test_rounding_is_no_cheat_however_far_a_change_may_go() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 128 * 128, 2, bias=False))
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(100, 156, (4, 3, 128, 128), generator=generator, dtype=torch.uint8)
    images = Images(values, torch.zeros(4, dtype=torch.int64), ("a", "b"), "toy/test")
    far = 25 * (1 + 1e-7)  # what is left of 25 when a change of many numbers is shortened to it in float32

    def long(_: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        change = torch.full_like(images, far / images[0].numel() ** 0.5)
        return images + change

    assert evaluate(model, images, Attack("toy", "a toy, L2", long, 1, False, "l2"), eps=25).total == 4
    with pytest.raises(WindfirmError, match=r"changes of at most 24.9999, got 25"):
        evaluate(model, images, Attack("toy", "a toy, L2", long, 1, False, "l2"), eps=24.9999)


CHEATS: dict[str, tuple[Callable[..., object], str]] = {
    "above": (_add(1.5), "attack toy: expected images in [0, 1], got values in [1.5, 2.5]"),
    "below": (_add(-1.5), "attack toy: expected images in [0, 1], got values in [-1.5, -0.5]"),
    "nan": (_add(float("nan")), "attack toy: expected finite images, got NaN or infinity"),
    "ball": (lambda m, x, y, b: 1 - x, "attack toy: expected changes of at most 0.0313725, got 1"),
    "in place": (_in_place, "attack toy: expected changes of at most 0.0313725, got 1"),
    "shape": (
        lambda m, x, y, b: x[:, :1],
        "attack toy: expected images (40, 3, 8, 8) torch.float32, got (40, 1, 8, 8) torch.float32",
    ),
    "type": (
        lambda m, x, y, b: x.double(),
        "attack toy: expected images (40, 3, 8, 8) torch.float32, got (40, 3, 8, 8) torch.float64",
    ),
    "none": (lambda m, x, y, b: None, "attack toy: expected a tensor of images, got NoneType"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_an_attack_that_cheats_is_caught(cheat: str) -> None:
    apply, message = CHEATS[cheat]
    model = Counting()
    images = labelled(model)
    images.images[0, 0, 0, 0], images.images[0, 0, 0, 1] = 0, 255
    with pytest.raises(WindfirmError) as error:
        evaluate(model, images, make(apply, average=True, norm=True))  # type: ignore[arg-type]
    assert str(error.value) == message


def test_an_attack_that_raises_is_named() -> None:
    def broken(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        raise KeyError("step")

    model = small_network()
    with pytest.raises(WindfirmError) as error:
        evaluate(model, labelled(model), make(broken))
    assert str(error.value) == "attack toy: expected changed images, got KeyError: 'step'"


def test_an_attack_that_changes_labels_and_mode_gains_nothing() -> None:
    model = small_network()

    def meddle(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        labels.zero_()
        model.train()
        return images

    images = labelled(model)
    assert evaluate(model, images, make(meddle, average=True)).correct.tolist() == [0] * 8 + [1] * 32


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_in_the_state_it_was_in(fails: bool) -> None:
    model = small_network()
    images = labelled(model)
    model.train()
    model.get_submodule("1").eval()
    model.get_parameter("0.weight").requires_grad_(False)
    model.get_parameter("4.bias").grad = torch.ones(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if fails:
        with pytest.raises(WindfirmError):
            evaluate(model, images, make(_fail))
    else:
        evaluate(model, images, build("fgsm", 8))
        curve(model, images, [0.1])
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert [p.grad is None for p in model.parameters()] == [True, True, True, True, True, False]
    grad = model.get_parameter("4.bias").grad
    assert grad is not None
    assert grad.tolist() == [1, 1, 1]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_eps_0_gives_the_clean_accuracy_and_eps_is_in_the_description() -> None:
    model = small_network()
    images = labelled(model)
    outcome = evaluate(model, images, build("fgsm", 8), eps="0")
    assert outcome.correct.tolist() == evaluate(model, images, build("clean", 8)).correct.tolist()
    assert outcome.eps == 0
    title = "one step along the sign of the loss gradient, white-box, true labels, eps 8/255"
    assert evaluate(model, images, build("fgsm", 8)).description == title


def test_fgsm_and_its_curve_are_what_the_loop_of_all_attacks_finds() -> None:
    model = small_network()
    images = labelled(model)
    sizes = ["0", "2/255", "8/255", "0.2"]
    outcomes = curve(model, images, sizes, batch=16)
    attack = build("fgsm", 8)
    for eps, outcome in zip(sizes, outcomes, strict=True):
        by_the_loop = evaluate(model, images, replace(attack, packs=True), eps=eps)
        assert outcome.correct.tolist() == by_the_loop.correct.tolist()
        alone = evaluate(model, images, attack, eps=eps)
        assert outcome.correct.tolist() == alone.correct.tolist()
        assert (outcome.attack, outcome.title, outcome.eps) == (alone.attack, alone.title, alone.eps)
    assert outcomes[0].count == 32
    assert outcomes[-1].count < 32


def test_fgsm_shows_a_network_every_image_once_and_those_that_it_attacks_once_more() -> None:
    model = small_network()
    images = labelled(model)  # of which 8 of 40 are not right
    shown: list[int] = []
    model.register_forward_pre_hook(lambda module, args: shown.append(len(args[0])))
    evaluate(model, images, build("fgsm", 8), batch=20)
    assert shown.pop(0) == 2  # by which it is seen how it takes images
    assert sum(shown) == 40 + 32


def test_the_curve_takes_a_batch_with_nothing_left() -> None:
    model = small_network()
    assert curve(model, labelled(model), ["8/255"], batch=4)[0].correct[:8].sum() == 0


@pytest.mark.parametrize("name", ["clean", "fgsm", "pgd", "square", "fab-t"])
def test_a_network_that_changes_its_images_in_place_is_attacked_as_one_that_does_not(name: str) -> None:
    class InPlace(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.body, self.in_place = small_network(), in_place

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x.sub_(0.5) if self.in_place else x - 0.5)  # type: ignore[no-any-return]

    images = labelled(InPlace(False))
    attack = build(
        name, 8, **({"queries": 20} if name == "square" else {"steps": 2} if name in ("pgd", "fab-t") else {})
    )
    ours, plain = (evaluate(InPlace(in_place), images, attack) for in_place in (True, False))
    assert ours.correct.tolist() == plain.correct.tolist()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-t", "fab-t", "deepfool", "square"])
def test_a_network_whose_logits_are_of_another_type_is_attacked_as_one_whose_are_float32(
    name: str, kind: torch.dtype
) -> None:
    class Cast(nn.Module):
        def __init__(self, kinds: Sequence[torch.dtype]) -> None:
            super().__init__()
            self.network, self.kinds = small_network(classes=4), kinds

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x)
            for kind in self.kinds:
                logits = logits.to(kind)
            return logits

    pixels = labelled(small_network()).images
    images = Images(pixels, small_network(classes=4)(pixels / 255).argmax(1), ("a", "b", "c", "d"), "toy/test")
    options = {"queries": 50} if name == "square" else {} if name == "fgsm" else {"steps": 5}
    found = (evaluate(Cast(kinds), images, build(name, 8, **options)) for kinds in ([kind], [kind, torch.float32]))
    ours, plain = (outcome.correct.tolist() for outcome in found)
    assert ours == plain


def test_eps_is_not_judged_where_it_means_nothing() -> None:
    model = small_network()
    assert evaluate(model, labelled(model), build("clean", 8), eps=2.0).eps is None


@pytest.mark.parametrize("name", ["clean", "pgd"])
def test_predictions_and_searches_are_in_float32_inside_autocast(name: str) -> None:
    model = small_network()
    images = labelled(model)
    attack = build(name, 8)
    plain = evaluate(model, images, attack)
    types: list[torch.dtype] = []
    for module in model.modules():
        module.register_forward_hook(lambda module, args, output: types.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert evaluate(model, images, attack).correct.tolist() == plain.correct.tolist()
    assert set(types) == {torch.float32}


def test_attacks_have_their_gradients_inside_inference_mode() -> None:
    model = small_network()
    images = labelled(model)
    pgd = build("pgd", 8, steps=5)

    def found() -> list[list[float]]:
        views = examples({"F": model}, images, pgd, [9])[0].views
        outcomes = [evaluate(model, images, pgd), *curve(model, images, [1 / 255])]
        outcomes += transfer(model, {"F": model}, images, pgd).values()
        counts = [outcome.correct.tolist() for outcome in outcomes]
        return [*counts, [views["F"].predicted], distances(model, images, pgd).sizes.tolist()]

    outside = found()
    with torch.inference_mode():
        assert found() == outside


def test_rounding_of_many_pixels_is_no_cheating() -> None:
    pixels = 0.5 + torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) / 2
    change = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(1))
    changed = (pixels + 1e-5 * change / change.norm()).clamp(0, 1)
    attack = Attack("toy", "a toy, L2", nothing, 1, False, "l2")
    assert (changed - pixels).double().norm() > 1.1e-5
    assert loop.checked(attack, pixels, changed, 1e-5).equal(changed)
    with pytest.raises(WindfirmError, match=r"changes of at most 1e-05, got 0\.0001"):
        loop.checked(attack, pixels, (pixels + 1e-4 * change / change.norm()).clamp(0, 1), 1e-5)


def test_progress_ends_at_everything() -> None:
    model = Counting()
    calls: list[tuple[int, int]] = []
    attack = build("occlusion", 8, trials=2)
    evaluate(model, labelled(model), attack, batch=25, progress=lambda *call: calls.append(call))
    assert calls == [(25, 80), (40, 80), (65, 80), (80, 80)]
    calls.clear()
    evaluate(
        model, labelled(model, wrong=40), make(nothing, trials=2), batch=25, progress=lambda *call: calls.append(call)
    )
    assert calls == [(25, 120), (40, 120), (120, 120)]  # one look without the attack, and none is left for it


def test_a_network_that_does_not_fit_is_refused() -> None:
    model = Counting()
    images = labelled(model)
    with pytest.raises(InputError) as error:
        evaluate(Counting(classes=5), images, make(nothing))
    wanted = "model: expected outputs of shape (40, 3) for the classes of toy/test, got "
    assert str(error.value) == wanted + "(40, 5)"
    with pytest.raises(InputError) as error:
        evaluate(nn.Identity(), images, make(nothing))
    assert str(error.value) == wanted + "(40, 3, 8, 8)"
    with pytest.raises(InputError) as error:
        evaluate(Counting(side=9), images, make(nothing))
    wanted = "model: expected a network that takes images of shape (40, 3, 8, 8), got an error: "
    assert str(error.value) == wanted + "mat1 and mat2 shapes cannot be multiplied (40x192 and 243x3)"


def test_outputs_that_are_not_numbers_are_refused() -> None:
    model = small_network()
    images = labelled(model)
    with torch.no_grad():
        model.get_parameter("4.bias").fill_(torch.nan)
    with pytest.raises(InputError) as error:
        evaluate(model, images, make(nothing))
    assert str(error.value) == "model: expected outputs that are numbers, got NaN"


def test_no_images_and_empty_batches_are_refused() -> None:
    model = Counting()
    for images, batch, got in (
        (labelled(model)[:0], 1, "0 and 1"),
        (labelled(model), 0, "40 and 0"),
        (labelled(model), 2.5, "40 and 2.5"),
    ):
        with pytest.raises(InputError) as error:
            evaluate(model, images, make(nothing), batch=batch)  # type: ignore[arg-type]
        assert str(error.value) == f"evaluate: expected at least one image, and batches of at least 1, got {got}"


def test_a_change_may_be_as_long_as_the_norm_of_the_attack_allows() -> None:
    model = Counting()
    images = labelled(model)
    length = 0.01 * (3 * 8 * 8) ** 0.5  # of a change by 0.01 everywhere

    def darker(_: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return pixels + 0.01 * (0.5 - pixels).sign()

    attack = Attack("toy", "a toy, L2", darker, trials=1, average=False, norm="l2")
    evaluate(model, images, attack, eps=1.001 * length)
    with pytest.raises(WindfirmError) as error:
        evaluate(model, images, attack, eps=0.9 * length)
    assert str(error.value) == f"attack toy: expected changes of at most {0.9 * length:.6g}, got {length:.6g}"
    assert evaluate(model, images, attack, eps=3).eps == 3.0  # no single value can change by as much


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "deepfool"])
def test_neither_the_batch_nor_a_lack_of_memory_changes_what_gradients_find(name: str) -> None:
    model = small_network(classes=4)
    images = labelled(model)
    attack = build(name, 8, **({} if name == "fgsm" else {"steps": 2 if name == "deepfool" else 5}))
    whole = evaluate(model, images, attack, eps=0.03).correct.tolist()
    assert 0 < sum(whole) < 32

    for other, batch in ((attack, 7), (hungry(attack), None)):
        assert evaluate(model, images, other, eps=0.03, batch=batch).correct.tolist() == whole


def test_an_attack_that_packs_is_given_many_images_and_told_the_batch() -> None:
    model = Counting()
    seen = []

    def apply(network: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        seen.append((len(pixels), budget.batch))
        return pixels

    packs = Attack("toy", "a toy", apply, trials=1, average=False, norm=None, packs=True)
    evaluate(model, labelled(model), packs, batch=1)
    assert seen == [(20, 1), (12, 1)]


def test_an_ensemble_counts_the_worst_of_its_parts_for_each_image() -> None:
    model = small_network()
    images = labelled(model)
    parts = [build("fgsm", 8), build("pgd", 8, steps=2, restarts=2), build("apgd-dlr", 8, steps=3)]
    alone = [evaluate(model, images, part, eps=0.05).correct for part in parts]
    outcome = evaluate(model, images, ensemble("all", "three in turn", parts), eps=0.05)
    assert outcome.correct.tolist() == np.min(alone, axis=0).tolist()


@pytest.mark.parametrize("norm", [True, False])
def test_an_attack_that_spoils_its_network_gains_nothing(norm: bool) -> None:
    model = small_network()

    def spoil(network: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        with torch.no_grad():
            network.get_parameter("4.weight").neg_()
        return pixels

    outcome = evaluate(model, labelled(model), make(spoil, norm=norm))
    assert outcome.count == 32


def test_an_attack_of_ones_own_may_ask_for_gradients_as_anywhere_else() -> None:
    model = small_network()

    def step(network: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        loss = nn.functional.cross_entropy(network(pixels.requires_grad_()), labels, reduction="sum")
        return (pixels + budget.eps * torch.autograd.grad(loss, pixels)[0].sign()).clamp(0, 1)

    found = evaluate(model, labelled(model), make(step, norm=True), eps=0.02).correct
    assert found.tolist() == evaluate(model, labelled(model), "fgsm", eps=0.02).correct.tolist()
    assert 0 < found.sum() < 32


def precision() -> str:
    """How a GPU multiplies in convolutions."""
    settings: Any = torch.backends.cudnn
    return str(settings.conv.fp32_precision)


def test_what_is_judged_is_judged_in_float32_and_the_precision_of_a_gpu_is_left_as_it_was() -> None:
    found: list[str] = []

    class Telling(Counting):
        def forward(self, x: Tensor) -> Tensor:
            found.append(precision())
            return super().forward(x)

    model = Telling()
    images = labelled(Counting())
    before = precision()
    assert before != "ieee"
    evaluate(model, images, build("semantic", 8, trials=2))
    assert set(found) == {"ieee"}
    assert precision() == before


def test_the_precision_of_a_gpu_is_left_as_it_was_by_a_network_that_fails() -> None:
    class Failing(Counting):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    before = precision()
    with pytest.raises(InputError):
        evaluate(Failing(), labelled(Counting()), build("clean", 8))
    assert precision() == before


@pytest.fixture
def told_to_round() -> Iterator[None]:
    """PyTorch is told that it may round float32 matrices."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("told_to_round")
def test_a_processor_that_is_told_to_round_searches_so_and_judges_in_float32() -> None:
    settings: Any = torch.backends.mkldnn
    found: list[str] = []
    searches: list[str] = []
    network = small_network()
    images = labelled(network)
    network.register_forward_pre_hook(lambda module, args: found.append(settings.matmul.fp32_precision))

    def apply(target: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        searches.append(settings.matmul.fp32_precision)
        return pixels

    assert loop.rounding(None)
    evaluate(network, images, make(apply))
    assert set(found) == {"ieee"}
    assert set(searches) == {"bf16"}


class Rough(nn.Module):
    """Sees another class as soon as anything changes in ``images``, but not in float32."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.network, self.images = network, images

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        if precision() == "ieee":
            return logits
        same = torch.tensor([bool((self.images == image).flatten(1).all(1).any()) for image in x])
        return torch.where(same[:, None], logits, 1e3 * logits.detach().argmin(1, keepdim=True).eq(torch.arange(3)))


def test_what_a_rough_search_takes_for_fooled_and_the_judge_does_not_is_searched_again_all_batches_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    images = labelled(network)
    attack = build("pgd", 8, steps=20)
    searches: list[tuple[str, int]] = []

    def apply(target: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        searches.append((precision(), len(pixels)))
        return attack.apply(target, pixels, labels, budget)

    noted = replace(attack, apply=apply, packs=False)
    exact = evaluate(network, images, noted, eps="8/255", batch=20)
    assert exact.count > 0
    monkeypatch.setattr(loop, "searched", lambda *args: Rough(network, images.images / 255))
    early = evaluate(network, images, noted, eps="8/255", batch=20)
    assert early.count > exact.count
    monkeypatch.setattr(loop, "rounding", lambda device: True)
    searches.clear()
    assert evaluate(network, images, noted, eps="8/255", batch=20).correct.tolist() == exact.correct.tolist()
    again = [size for kind, size in searches if kind == "ieee"]
    assert sum(again) == early.count
    assert len(again) == -(-early.count // 20)


def test_a_trial_that_must_be_exact_is_searched_in_float32_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    images = labelled(network)
    searches: list[tuple[int, str]] = []

    def apply(target: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        searches.append((budget.trial, precision()))
        return pixels

    monkeypatch.setattr(loop, "rounding", lambda device: True)
    attack = make(apply, norm=True)
    evaluate(network, images, ensemble("three", "in turn", [attack, replace(attack, exact=frozenset([0])), attack]))
    assert [kind == "ieee" for _, kind in searches] == [False, True, False]
    assert build("square", 8).exact == {0}
    assert build("autoattack", 8).exact == {build("autoattack", 8).trials - 1}


def test_an_attack_may_ask_ahead_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    images = labelled(network)
    pixels, labels = images.images / 255, images.labels
    given: list[int] = []

    def apply(target: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        given.append(budget.at_once)
        return pixels

    for gpu in (False, True):
        monkeypatch.setattr(loop, "is_gpu", lambda device, gpu=gpu: gpu)
        loop.attacked(network, pixels, labels, make(apply), Budget())
    monkeypatch.setattr(loop, "AT_ONCE", 1)  # as if the images were large
    loop.attacked(network, pixels, labels, make(apply), Budget())
    assert given == [1, 256 * 32 * 32 // (8 * 8), 1]


@pytest.mark.usefixtures("told_to_round")
def test_what_a_network_draws_in_the_second_search_follows_from_the_seed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(AlwaysDropout(), small_network())
    images = labelled(network[1])
    monkeypatch.setattr(loop, "searched", lambda *args: Rough(network, images.images / 255))
    drawn: list[float] = []

    def apply(target: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        drawn.append(float(torch.rand(())))
        return (pixels + 1e-6).clamp(0, 1)

    found = []
    for start in (1, 2):
        torch.manual_seed(start)
        state = torch.get_rng_state()
        found.append(evaluate(network, images, make(apply, norm=True), eps="8/255").correct.tolist())
        assert torch.equal(torch.get_rng_state(), state)
    assert found[0] == found[1]
    assert drawn[: len(drawn) // 2] == drawn[len(drawn) // 2 :]
    assert len(drawn) > 2  # there was a second search
