import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import labelled, small_network
from windfirm.attack.budget import Attack, Budget
from windfirm.attack.registry import build
from windfirm.errors import TraceError
from windfirm.evaluate.curves import sweep
from windfirm.evaluate.loop import evaluate
from windfirm.study.measure import measure


def test_fgsm_of_the_table_is_the_point_of_the_curve_and_what_the_evaluator_says() -> None:
    model = small_network()
    images = labelled(model)
    attacks = [build("fgsm", 8), build("clean", 8)]
    subject = measure("F", "toy", model, images, attacks, eps=4 / 255, epses=(2 / 255, 4 / 255))
    alone = evaluate(model, images, attacks[0], eps=4 / 255)
    assert [outcome.attack for outcome in subject.outcomes] == ["fgsm", "clean"]
    for outcome in (subject.outcomes[0], subject.curve[1]):
        assert (outcome.title, outcome.eps, outcome.trials) == (alone.title, alone.eps, alone.trials)
        assert outcome.correct.tolist() == alone.correct.tolist()
    assert 0 < alone.count < subject.outcomes[1].count


def test_every_attack_and_every_point_of_a_sweep_is_measured_with_the_seed_and_eps_asked_for() -> None:
    model = small_network()
    images = labelled(model)
    attacks = [build("occlusion", 8, trials=3), build("pgd", 8, steps=2), build("fgsm", 8)]
    sweeps = [sweep("pgd", 8, "steps", (1, 4)), sweep("occlusion", 8, "size", (2, 6), trials=2)]
    subject = measure("F", "toy", model, images, attacks, eps=0.03, epses=(0.01,), sweeps=sweeps, checked=0, seed=5)
    found = [*subject.outcomes, *(outcome for curve in subject.sweeps for outcome in curve.outcomes)]
    asked = [*attacks, *(attack for one in sweeps for _, attack in one.points)]
    assert len(found) == 7
    for attack, outcome in zip(asked, found, strict=True):
        alone = evaluate(model, images, attack, eps=0.03, seed=5)
        assert (outcome.title, outcome.eps) == (alone.title, alone.eps)
        assert outcome.correct.tolist() == alone.correct.tolist()
    drawn = evaluate(model, images, attacks[0], eps=0.03)  # by another seed
    assert found[0].correct.tolist() != drawn.correct.tolist()


def test_calibration_is_measured_on_the_images_that_the_temperature_did_not_see() -> None:
    model = small_network()
    images = labelled(model)
    subject = measure("F", "toy", model, images, [], epses=())
    assert subject.calibration is not None
    assert subject.calibration.images == 20
    with torch.no_grad():
        logits = model(images.images[1::2] / 255).double()
    truth = -logits.log_softmax(1)[range(20), images.labels[1::2]].mean()
    assert subject.calibration.nll == pytest.approx(float(truth), rel=1e-5)
    assert measure("F", "toy", model, images[:1], [], epses=()).calibration is None


def test_an_attack_of_ones_own_is_asked_itself_whatever_its_name() -> None:
    model = small_network()
    images = labelled(model)
    mine = Attack("fgsm", "does nothing", lambda model, images, labels, budget: images, 1, False, "linf")
    subject = measure("F", "toy", model, images, [mine], eps=4 / 255, epses=(4 / 255,), checked=0)
    assert subject.outcomes[0].title == "does nothing"
    assert subject.outcomes[0].count == evaluate(model, images, "clean").count > subject.curve[0].count


def test_a_network_whose_cost_cannot_be_told_is_refused_before_the_attacks() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_network()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x if float(x.detach().mean()) < 2 else 2 * x)
            return logits

    def never(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        raise AssertionError

    model = Choosing()
    long = Attack("long", "takes hours", never, 1, average=False, norm=None)
    with pytest.raises(TraceError, match=r"^cost: expected a network that runs on a meta tensor"):
        measure("F", "toy", model, labelled(model.inner), [long])


def test_a_network_that_draws_is_measured_with_the_seed_whether_or_not_there_is_a_curve() -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_network()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x + 0.3 * torch.randn_like(x))
            return logits

    model = Drawing()
    images = labelled(model.inner)
    one = build("fgsm", 8)
    found = [
        measure("F", "toy", model, images, [one], eps=0.01, epses=epses, checked=0, seed=1).outcomes[0].correct.tolist()
        for epses in ((), (0.01,))
    ]
    assert found[0] == found[1] == evaluate(model, images, one, eps=0.01, seed=1).correct.tolist()
    assert found[0] != evaluate(model, images, one, eps=0.01).correct.tolist()
