from typing import Any

import pytest
import torch
from torch import Tensor, nn

from windfirm.attack import ATTACKS, Attack, Budget, build
from windfirm.attack.corruptions import KINDS
from windfirm.attack.registry import SIDE, read
from windfirm.errors import InputError

TITLES = {
    "clean": "unchanged images",
    "semantic": "one random hue shift a full turn wide, mean of 10 draws",
    "semantic-shift": "one random translation by up to 4 pixels, zero filled, mean of 10 draws",
    "semantic-search": "random hue and growing saturation shifts, worst of 1000 trials",
    "semantic-grid": "worst of 12 hues × 5 saturations up to ±0.5",
    "occlusion": "one grey 16×16 square at a random place, mean of 10 draws",
    "occlusion-search": "one grey 16×16 square, worst of 50 random places",
    "occlusion-worst": "one grey 8×8 square, worst of 49 places 4 pixels apart",
    "fgsm": "one step along the sign of the loss gradient, white-box, true labels",
    "pgd": "50 steps of 0.25 eps along the sign of the loss gradient, Linf, random start, worst of every step of 1 "
    "restart, white-box, true labels",
    "apgd-ce": "Auto-PGD, 100 steps on the cross-entropy, 1 random start, Linf, white-box, true labels",
    "apgd-dlr": "Auto-PGD, 100 steps on the difference of logits ratio, 1 random start, Linf, white-box, true labels",
    "apgd-t": "Auto-PGD, 100 steps on the targeted difference of logits ratio, 9 target classes (or all others), "
    "1 random start each, Linf, white-box, true labels",
    "fab-t": "fast adaptive boundary, 100 steps towards each of 9 target classes (or all others), alpha 0.1, eta 1.05, "
    "beta 0.9, Linf, white-box, true labels",
    "square": "random search with squares, at most 5,000 queries, p 0.8, Linf, black-box, true labels",
    "deepfool": "at most 50 steps to the nearest linearised border, 9 target classes (or all others), overshoot 0.02, "
    "Linf, white-box, true labels",
}
TITLES["autoattack"] = "AutoAttack, standard: " + "; ".join(
    f"{name} ({TITLES[name]})" for name in ("apgd-ce", "apgd-t", "fab-t", "square")
)

#: Options with which attacks that search for long are done soon.
QUICK = {"square": {"queries": 30}, "fab-t": {"steps": 5}, "autoattack": {"steps": 5, "queries": 30}}


def test_every_attack_says_what_it_does_with_all_its_numbers() -> None:
    drawn = {"corruptions", *KINDS}  # their titles have a test of their own
    assert {name: build(name).title for name in ATTACKS if name not in drawn} == TITLES
    assert {name: build(name).name for name in ATTACKS} == {name: name for name in ATTACKS}


def test_sizes_grow_with_the_image() -> None:
    assert build("occlusion", 64).title == "one grey 32×32 square at a random place, mean of 10 draws"
    assert build("occlusion-worst", 64).title == "one grey 16×16 square, worst of 49 places 8 pixels apart"
    assert build("semantic-shift", 64).title == TITLES["semantic-shift"].replace("4", "8")


def test_options_reach_the_title() -> None:
    assert build("semantic", turn=0.25, trials=3).title == "one random hue shift 0.25 of a turn wide, mean of 3 draws"
    black = build("occlusion-worst", size=12, stride=10, colour="black")
    assert black.title == "one black 12×12 square, worst of 9 places 10 pixels apart"
    short = build("pgd", steps=1, step=1.0, restarts=5, norm="l2").title
    wanted = "1 step of 1 eps along the loss gradient, L2, random start, worst of every step of 5 restarts"
    assert short == f"{wanted}, white-box, true labels"


@pytest.mark.parametrize(
    ("name", "options"), [("apgd-ce", {"steps": 99}), ("apgd-dlr", {"steps": 10}), ("apgd-t", {"targets": 8})]
)
def test_a_shortened_attack_says_so(name: str, options: dict[str, int]) -> None:
    title = build(name, **options).title
    assert title.startswith("shortened Auto-PGD, ")
    assert str(next(iter(options.values()))) in title
    assert not build(name, **dict.fromkeys(options, 200)).title.startswith("shortened")


@pytest.mark.parametrize("options", [{"steps": 10}, {"targets": 3}, {"queries": 1000}])
def test_a_shortened_ensemble_loses_its_name(options: dict[str, int]) -> None:
    attack = build("autoattack", **options)
    assert attack.name == "ensemble"
    assert attack.title.startswith("four attacks in turn, not those of the standard: ")
    assert "AutoAttack" not in attack.title


def dimmer(side: int, *, steps: "int" = 2) -> Attack:
    """Darkens by eps, whatever the number of steps."""

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return (images - budget.eps).clamp(min=0)

    return Attack("dimmer", f"darker, in {steps} steps on {side} pixels", apply, trials=1, average=False, norm="linf")


def typed(side: int, *, steps: "Steps" = 2) -> Attack:  # type: ignore[name-defined]  # noqa: F821
    return dimmer(side, steps=steps)


def disguised(side: int) -> Attack:
    return Attack("pgd", "unchanged images", dimmer(side).apply, trials=1, average=False, norm=None)


def unready(side: int) -> str:
    return "soon"


def broken(side: int) -> Attack:
    raise KeyError("table")


def test_an_attack_of_the_users_own_is_named_by_where_python_finds_it() -> None:
    name = f"{__name__}:dimmer"
    attack = build(name, 8, steps=read(name, "steps", "3"))
    assert (attack.name, attack.title) == ("dimmer", "darker, in 3 steps on 8 pixels")
    shown = torch.rand(2, 3, 8, 8)
    darker = attack.apply(nn.Flatten(), shown, torch.zeros(2), Budget(eps=0.25))
    assert torch.equal(darker, (shown - 0.25).relu())


def test_an_attack_is_itself_and_has_no_options_any_more() -> None:
    attack = dimmer(8)
    assert build(attack, 32) is attack
    with pytest.raises(InputError) as error:
        build(attack, steps=3)
    assert str(error.value) == "dimmer: expected no options, as it is made already, got steps"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "a module:attack that can be imported, got AttributeError: module"),
        ("typed", "options whose types can be looked up, got NameError: name 'Steps' is not defined"),
        ("unready", "a function that makes a windfirm.attack.budget.Attack, got str"),
        ("broken", "a function that makes a windfirm.attack.budget.Attack, got KeyError: 'table'"),
        ("TITLES", "a function that makes a windfirm.attack.budget.Attack, got dict"),
        ("disguised", "an attack with a name of its own, got pgd"),
    ],
)
def test_what_makes_no_attack_is_refused_with_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        build(f"{__name__}:{name}")
    assert str(error.value).startswith(f"{__name__}:{name}: expected {message}")


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_keeps_shape_type_and_range_and_ignores_its_company(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    images, labels, ids = torch.rand(10, 3, 8, 8), torch.arange(10) % 4, torch.arange(10)
    attack = build(name, 8, **QUICK.get(name, {}))
    changed = attack.apply(model, images, labels, Budget(ids=ids))
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert changed.min() >= 0
    assert changed.max() <= 1
    some = torch.tensor([7, 2, 9])
    alone = attack.apply(model, images[some], labels[some], Budget(ids=some))
    torch.testing.assert_close(alone, changed[some], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "fsgm",
            {},
            f"attack: expected one of {', '.join(ATTACKS)}, or package.module:attack, got fsgm; did you mean fgsm?",
        ),
        ("zzz", {}, f"attack: expected one of {', '.join(ATTACKS)}, or package.module:attack, got zzz"),
        ("fgsm", {"steps": 3}, "fgsm: expected no options, got steps"),
        ("semantic", {"pixels": 3}, "semantic: expected options out of turn, trials, got pixels"),
        (
            "occlusion",
            {"colr": "grey"},
            "occlusion: expected options out of size, colour, trials, got colr; did you mean colour?",
        ),
        ("semantic", {"turn": 2.0}, "semantic: expected a turn in [0, 1], got 2.0"),
        ("semantic", {"trials": 0}, "semantic: expected at least 1 trial, got 0"),
        ("semantic-shift", {"pixels": 32}, "semantic-shift: expected pixels in [0, 32), got 32"),
        ("semantic-grid", {"hues": 0}, "semantic-grid: expected at least one hue and one saturation, got 0 and 5"),
        ("semantic-grid", {"reach": 1.5}, "semantic-grid: expected a reach in [0, 1], got 1.5"),
        ("occlusion", {"size": 33}, "occlusion: expected a size in [0, 32], got 33"),
        ("occlusion", {"colour": "pink"}, "occlusion: expected a colour out of black, grey, mean, noise, got pink"),
        ("pgd", {"steps": 0}, "pgd: expected steps of at least 1, got 0"),
        ("pgd", {"step": 0.0}, "pgd: expected a step in (0, 2], in eps, got 0.0"),
        ("pgd", {"norm": "l1"}, "pgd: expected a norm out of linf, l2, got l1"),
        ("apgd-ce", {"restarts": 0}, "apgd-ce: expected restarts of at least 1, got 0"),
        ("apgd-t", {"targets": 0}, "apgd-t: expected targets of at least 1, got 0"),
        ("occlusion-search", {"size": 33}, "occlusion-search: expected a size in [0, 32], got 33"),
        ("occlusion-worst", {"stride": 0}, "occlusion-worst: expected a stride of at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused_with_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        build(name, **options)
    assert str(error.value) == message


def test_options_are_read_as_what_they_are() -> None:
    assert read("pgd", "steps", "20") == 20
    assert read("pgd", "step", "0.1") == 0.1
    assert read("pgd", "norm", "l2") == "l2"
    assert read("occlusion", "size", "12") == 12
    assert read("occlusion", "colour", "black") == "black"


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("steps", "few", "pgd: expected steps as a whole number, got few"),
        ("step", "small", "pgd: expected step as a number, got small"),
    ],
)
def test_what_cannot_be_read_is_refused(option: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read("pgd", option, text)
    assert str(error.value) == message


def test_an_attack_of_ones_own_that_could_not_be_counted_is_refused() -> None:
    def nothing(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return images

    norm: Any = "L2"
    with pytest.raises(InputError, match="mine: expected a norm out of linf, l2, or None, got L2"):
        Attack("mine", "mine", nothing, trials=1, average=False, norm=norm)
    with pytest.raises(InputError, match="mine: expected a title that says L2, got a step along the gradient"):
        Attack("mine", "a step along the gradient", nothing, trials=1, average=False, norm="l2")
    with pytest.raises(
        InputError, match="mine: expected a title that does not say L2, as norm is linf, got of L2 loss"
    ):
        Attack("mine", "of L2 loss", nothing, trials=1, average=False, norm="linf")
    with pytest.raises(InputError, match="mine: expected at least 1 trial, got 0"):
        Attack("mine", "mine", nothing, trials=0, average=True, norm=None)


def test_what_is_no_attack_and_options_of_another_type_are_refused() -> None:
    factory: Any = ATTACKS["pgd"]
    with pytest.raises(InputError, match="attack: expected a name or an Attack, got function"):
        build(factory)
    for steps in ("3", 2.5):
        with pytest.raises(InputError, match=f"pgd: expected steps as a whole number, got {steps!r}"):
            build("pgd", steps=steps)
    for minimal in ("no", 1):
        with pytest.raises(InputError, match=f"fab-t: expected minimal as true or false, got {minimal!r}"):
            build("fab-t", minimal=minimal)
    assert build("pgd", step=1).title.startswith("50 steps of 1 eps")


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_built_for_any_size_that_images_may_have(name: str) -> None:
    for side in (1, 2, 3, SIDE):
        title = build(name, side).title
        assert "0×0" not in title
        assert side == 1 or "up to 0 pixels" not in title


def test_kinds_of_corruptions_may_be_a_text() -> None:
    assert build("corruptions", 8, kinds=(kind for kind in ("fog", "snow"))).trials == 2
    assert build("corruptions", 8, kinds="fog,snow").title == build("corruptions", 8, kinds=["fog", "snow"]).title
