from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.attack.corruptions.scenes import random_images, smooth_images
from tests.evaluate.toys import Counting, labelled
from windfirm.attack import Budget, build
from windfirm.attack.corruptions import KINDS
from windfirm.errors import InputError
from windfirm.evaluate import evaluate
from windfirm.evaluate.paired import mean_of

MODEL = nn.Identity()
#: The kinds of which each severity changes more than the one before. Of the others saturation first falls; defocus,
#: glass, frost, drops and stretching trade one constant for another; coarse pixels may fall in with the picture.
GROWING = (
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "speckle-noise",
    "motion-blur",
    "zoom-blur",
    "gaussian-blur",
    "snow",
    "fog",
    "brightness",
    "contrast",
    "jpeg",
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_every_corruption_keeps_shape_type_and_range_and_ignores_its_company(kind: str, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(8, 48)), data.draw(st.integers(8, 48))
    severity = data.draw(st.integers(1, 5))
    images, labels, ids = random_images(3, height, width), torch.zeros(3), torch.tensor([4, 0, 7])
    attack = build(kind, width, severity=severity)
    before = images.clone()
    changed = attack.apply(MODEL, images, labels, Budget(ids=ids))
    assert torch.equal(images, before)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 1
    some = torch.tensor([2, 0])
    alone = attack.apply(MODEL, images[some], labels[some], Budget(ids=ids[some]))
    assert torch.equal(alone, changed[some])


@pytest.mark.parametrize("kind", GROWING)
def test_a_higher_severity_changes_more(kind: str) -> None:
    images, labels = smooth_images(10) * 0.8, torch.zeros(10)
    sizes = []
    for severity in range(1, 6):
        changed = build(kind, 32, severity=severity).apply(MODEL, images, labels, Budget())
        sizes.append((changed - images).flatten(1).norm(dim=1).mean().item())
    assert sizes == sorted(sizes)
    assert 0 < sizes[0] < sizes[-1]


def test_random_kinds_change_with_seed_and_trial_and_the_others_do_not() -> None:
    images, labels = random_images(), torch.zeros(3)
    fixed = set()
    for kind in KINDS:
        attack = build(kind, 32, severity=5)
        results = [attack.apply(MODEL, images, labels, b) for b in (Budget(), Budget(seed=1), Budget(trial=1))]
        if torch.equal(results[0], results[1]):
            fixed.add(kind)
        assert torch.equal(results[0], results[1]) == torch.equal(results[0], results[2])
    still = {"brightness", "contrast", "saturate", "pixelate", "jpeg"}
    assert fixed == still | {"defocus-blur", "zoom-blur", "gaussian-blur"}


def test_all_of_them_at_once_are_the_mean_of_each_by_itself() -> None:
    model = Counting()
    images = labelled(model)
    together = evaluate(model, images, build("corruptions", 8))
    each = [evaluate(model, images, build(kind, 8)) for kind in KINDS]
    assert together.correct.tolist() == mean_of(each).correct.tolist()
    assert together.trials == 19
    assert 0 < together.count < together.total
    two = evaluate(model, images, build("corruptions", 8, kinds=("fog", "snow"), trials=3))
    fog, snow = (evaluate(model, images, build(kind, 8, trials=3)).correct for kind in ("fog", "snow"))
    assert two.correct.tolist() == (fog + snow).tolist()
    assert two.trials == 6


def test_titles_say_the_severity_and_that_the_files_are_not_the_official_ones() -> None:
    end = "of 5, generated, not the official files"
    assert build("fog", severity=2).title == f"fog at severity 2 {end}"
    assert build("frost").title == f"frost with a drawn texture at severity 3 {end}"
    assert build("corruptions").title == f"mean of the 19 corruptions of CIFAR-10-C at severity 3 {end}"
    assert build("corruptions", kinds=["fog", "snow"], severity=1).title == f"mean of fog, snow at severity 1 {end}"
    draws = "of 5, mean of 4 draws, generated, not the official files"
    assert build("fog", trials=4).title == f"fog at severity 3 {draws}"
    assert build("corruptions", kinds=["fog"], trials=4).title == f"mean of fog at severity 3 {draws}"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fog", {"severity": 6}, "fog: expected a whole severity from 1 to 5, got 6"),
        ("fog", {"severity": 2.5}, "fog: expected severity as a whole number, got 2.5"),
        ("corruptions", {"severity": 0}, "corruptions: expected a whole severity from 1 to 5, got 0"),
        ("fog", {"kind": "snow"}, "fog: expected options out of severity, trials, got kind"),
        (
            "corruptions",
            {"kinds": ["fog", "snowy"]},
            f"corruptions: expected kinds out of {', '.join(KINDS)}, got snowy; did you mean snow?",
        ),
        ("corruptions", {"kinds": []}, "corruptions: expected at least one kind, got none"),
    ],
)
def test_what_cannot_be_built_is_refused_with_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        build(name, **options)
    assert str(error.value) == message


def test_images_without_colours_are_refused() -> None:
    with pytest.raises(InputError) as error:
        build("snow").apply(MODEL, torch.zeros(1, 1, 32, 32), torch.zeros(1), Budget())
    assert str(error.value) == "snow: expected RGB images (b, 3, h, w), got (1, 1, 32, 32)"
