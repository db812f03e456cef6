from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import torch

from windfirm import console, data
from windfirm.adjust import adjustments
from windfirm.data.images import Images
from windfirm.models.cost import cost
from windfirm.models.resnet import ResNet
from windfirm.models.source import Source
from windfirm.report.page import page
from windfirm.study import quickstart as study
from windfirm.study.quickstart import Plan, Report, quickstart

PLAN = Plan(macs=0.7, rounds=2, epochs=1, images=16, draws=1, tests=8, criterion="l1")


def source() -> Source:
    torch.manual_seed(0)
    return Source(ResNet(1).eval(), "tiny", None)


def report(bar: study.Bar = console.bar, seed: int = 0) -> Report:
    return quickstart(source(), PLAN, seed=seed, device=torch.device("cpu"), bar=bar)


@pytest.fixture(scope="module")
def first() -> Report:
    return report()


def test_the_test_images_are_opened_after_the_last_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    load, adjust = data.load, adjustments.adjust

    def watched_load(name: str, split: Literal["train", "test"]) -> Images:
        order.append(split)
        return load(name, split)

    def watched_adjust(*args: object, **options: object) -> object:
        done = adjust(*args, **options)  # type: ignore[arg-type]
        order.append("step")
        return done

    monkeypatch.setattr(data, "load", watched_load)
    monkeypatch.setattr(study, "adjust", watched_adjust)
    report()
    assert order == ["train", "step", "step", "step", "step", "test"]  # two rounds for F′, two for the control


def test_f_prime_is_as_small_as_planned_and_the_control_as_large_as_f(first: Report) -> None:
    example = torch.zeros(1, 3, 32, 32)
    before = cost(source().model, example)
    assert cost(first.smaller, example).macs <= 0.7 * before.macs
    assert cost(first.control, example) == before
    assert [entry.number for entry in first.rounds] == [1, 2]
    # Only the first convolution of each block is pruned, as on the poster.
    assert {name for name, size, left in first.profile if left < size} <= {f"layer{i}.0.conv1" for i in (1, 2, 3)}


def test_the_report_has_all_that_the_page_shows(first: Report) -> None:
    assert [subject.role for subject in first.comparison.subjects] == ["F", "control", "F'"]
    assert {delta.versus for delta in first.comparison.deltas} == {"F", "control"}
    assert first.comparison.images == 8
    assert {example.attack for example in first.examples} == {"semantic", "occlusion", "fgsm"}
    text = page(
        first.comparison, title="t", examples=first.examples, classes=first.classes, provenance=first.provenance
    )
    assert "2 rounds to 70% of the MACs, every cut proved" in text


def test_the_same_seed_gives_the_same_outcomes(first: Report) -> None:
    labels: list[str] = []

    @contextmanager
    def bar(label: str) -> Iterator[Callable[..., None]]:
        labels.append(label)
        yield lambda *progress: None

    again = report(bar)
    for a, b in zip(first.comparison.subjects, again.comparison.subjects, strict=True):
        assert [x.correct.tolist() for x in a.outcomes] == [x.correct.tolist() for x in b.outcomes]
    assert first.comparison.deltas == again.comparison.deltas
    assert all(torch.equal(a, b) for a, b in zip(first.smaller.parameters(), again.smaller.parameters(), strict=True))
    assert labels[0] == "prune and fine-tune F', round 1 of 2"
