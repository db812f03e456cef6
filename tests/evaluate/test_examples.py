from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import Counting, hungry, labelled, make, small_network
from windfirm.attack import Budget, build
from windfirm.errors import InputError
from windfirm.evaluate import evaluate, examples
from windfirm.evaluate.examples import apart


def test_each_network_is_shown_its_own_attacked_image() -> None:
    models = {"F": small_network(), "F'": Counting()}
    images = labelled(models["F"])
    shown = examples(models, images, build("fgsm", 8), [12, 9], eps=0.2)
    assert [(e.id, e.label, e.attack) for e in shown] == [(i, int(images.labels[i]), "fgsm") for i in (12, 9)]
    for example in shown:
        original = images.images[example.id].permute(1, 2, 0)
        assert example.image.tolist() == original.tolist()
        assert set(example.views) == {"F", "F'"}
        distance = torch.from_numpy(example.views["F"].image).int() - original.int()
        assert distance.abs().max() == 51
        assert example.views["F'"].image.tolist() == original.tolist()  # rounded inputs: no gradient


def test_images_far_apart_are_of_all_classes_of_a_folder() -> None:
    images = labelled(Counting())
    images = replace(images, labels=torch.arange(40) // 14)  # class after class
    assert images.labels[apart(images, 6)].tolist() == [0, 0, 0, 1, 1, 2]
    assert apart(images[:3], 6) == [0, 1, 2]


def test_predictions_are_those_of_the_evaluation() -> None:
    model = Counting()
    images = labelled(model)
    for attack in (build("occlusion", 8, trials=1), build("occlusion-worst", 8)):
        outcome = evaluate(model, images, attack, seed=4)
        shown = examples({"F": model}, images, attack, range(8, 40), seed=4)
        right = [int(example.views["F"].predicted == example.label) for example in shown]
        assert right == outcome.correct[8:].tolist()
        assert 0 < sum(right) < 32


def test_the_first_trial_that_fools_is_shown() -> None:
    model = Counting()
    images = labelled(model)

    def darken(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return images * (1 - budget.trial / 4)

    (example,) = examples({"F": model}, images, make(darken, trials=5), [20])
    view = example.views["F"]
    shares = [
        trial
        for trial in range(5)
        if (view.image == (images.images[20] * (1 - trial / 4)).round().numpy().transpose(1, 2, 0)).all()
    ]
    predictions = [int(model((images.images[20:21] / 255) * (1 - t / 4)).argmax(1)) for t in range(5)]
    first = next((t for t in range(5) if predictions[t] != example.label), 4)
    assert shares == [first]
    assert view.predicted == predictions[first]


def test_of_an_attack_that_averages_the_first_draw_is_shown() -> None:
    model = Counting()
    images, ids = labelled(model), torch.arange(8, 20)
    attack = build("occlusion", 8, trials=5)
    found = examples({"F": model}, images, attack, ids.tolist(), seed=3)
    first = attack.apply(model, images.images[ids] / 255, images.labels[ids], Budget(seed=3, ids=ids))
    predicted = model(first).argmax(1)
    assert (predicted == images.labels[ids]).any()  # which a later draw would be asked about
    for entry, image, label in zip(found, first, predicted.tolist(), strict=True):
        assert entry.views["F"].predicted == label
        assert torch.equal(torch.from_numpy(entry.views["F"].image), (image * 255).round().byte().permute(1, 2, 0))


def test_a_lack_of_memory_changes_no_picture() -> None:
    model = small_network()
    images = labelled(model)
    attack = build("pgd", 8, steps=5, restarts=2)
    plenty, little = (examples({"F": model}, images, a, range(5, 25), eps=0.05) for a in (attack, hungry(attack)))
    for one, other in zip(plenty, little, strict=True):
        assert (one.id, one.label, one.views["F"].predicted) == (other.id, other.label, other.views["F"].predicted)
        assert one.views["F"].image.tolist() == other.views["F"].image.tolist()
    assert 0 < sum(example.views["F"].predicted == example.label for example in plenty) < 17


def test_an_attack_searches_on_a_network_of_its_own() -> None:
    model = small_network()

    def spoil(network: nn.Module, pixels: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        network.get_parameter("4.weight").neg_()
        return pixels

    shown = examples({"F": model}, labelled(model), make(spoil, norm=True), range(8, 40))
    assert all(example.views["F"].predicted == example.label for example in shown)


def test_image_numbers_out_of_range_are_refused() -> None:
    model = Counting()
    with pytest.raises(InputError) as error:
        examples({"F": model}, labelled(model), build("clean", 8), [3, 40])
    assert str(error.value) == "examples: expected image numbers in [0, 40), got [3, 40]"
