import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import Counting, hungry, labelled, make, nothing, small_network
from tests.oracles import linear_binary
from windfirm.attack import Attack, Budget, build
from windfirm.data.images import Images
from windfirm.errors import InputError, WindfirmError
from windfirm.evaluate import evaluate
from windfirm.evaluate.transfer import matrix, transfer

W, V = (torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(seed)) / 10 for seed in (0, 1))


def linear(weights: Tensor) -> nn.Module:
    """A linear network of two classes whose border runs through the middle grey."""
    return linear_binary(weights, bias=-0.5 * weights.sum().item())


def binary(model: nn.Module) -> Images:
    pixels = torch.randint(100, 156, (60, 3, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    return Images(pixels, model(pixels / 255).argmax(1), ("a", "b"), "toy/test")


def test_fgsm_made_on_a_linear_network_moves_another_by_the_product_of_weights_and_signs() -> None:
    v = W + V  # half alike
    source, target = linear(W), linear(v)
    images = binary(target)
    outcome = transfer(source, {"G": target}, images, build("fgsm", 8), name="F", eps="2/255")["G"]
    side = 2 * images.labels - 1
    pixels = (images.images / 255).double()
    # The source is pushed away from the label; what that does to the target is a dot product.
    after = ((pixels - 0.5) * v).sum((1, 2, 3)) - side * 2 / 255 * (W.sign() * v).sum()
    assert outcome.correct.tolist() == (side * after > 0).long().tolist()
    assert 0 < outcome.count < 60
    assert (outcome.attack, outcome.eps, outcome.trials) == ("fgsm from F", 2 / 255, 1)
    assert outcome.title == f"{build('fgsm').title}, made on F"


def test_images_made_on_the_target_itself_are_those_of_evaluate() -> None:
    model = small_network()
    images = labelled(model)
    for name, options in (("fgsm", {}), ("occlusion", {"trials": 3}), ("occlusion-worst", {})):
        attack = build(name, 8, **options)
        alone = evaluate(model, images, attack, eps="4/255", seed=1)
        carried = transfer(model, {"same": model}, images, attack, eps="4/255", seed=1)["same"]
        assert carried.correct.tolist() == alone.correct.tolist()
        assert (carried.trials, carried.eps) == (alone.trials, alone.eps)


def test_a_weakness_across_the_other_does_not_carry_over() -> None:
    source = linear(W)
    across = linear(V.abs() * W.sign() * torch.tensor([1.0, -1.0]).repeat(4))  # half of the signs turned
    images = binary(source)
    both = images[across(images.images / 255).argmax(1) == images.labels]
    outcomes = matrix({"F": source, "G": across}, both, build("fgsm", 8), eps="4/255")
    assert {key: list(row) for key, row in outcomes.items()} == {"F": ["F", "G"], "G": ["F", "G"]}
    for own, other in (("F", "G"), ("G", "F")):
        assert outcomes[own][own].accuracy < outcomes[own][other].accuracy - 0.3
    assert outcomes["F"]["F"].correct.tolist() == evaluate(source, both, build("fgsm", 8), eps="4/255").correct.tolist()


def test_the_target_judges_every_trial_and_the_batch_changes_nothing() -> None:
    source, target = small_network(), Counting()
    images = labelled(target)
    attack = build("occlusion-search", 8, size=3, trials=4)
    expected = target(images.images / 255).argmax(1) == images.labels
    for trial in range(4):
        changed = attack.apply(source, images.images / 255, images.labels, Budget(seed=2, trial=trial))
        expected &= target(changed).argmax(1) == images.labels
    assert 0 < expected.sum() < 40
    for batch in (1, 7, 40):
        outcome = transfer(source, {"G": target}, images, attack, seed=2, batch=batch)["G"]
        assert outcome.correct.tolist() == expected.long().tolist()


def test_neither_the_batch_nor_a_lack_of_memory_changes_what_gradients_carry_over() -> None:
    source, target = small_network(), Counting()
    images = labelled(target)
    attack = build("pgd", 8, steps=5)

    def of(attack: Attack, batch: int | None = None) -> list[int]:
        outcome = transfer(source, {"G": target}, images, attack, eps=0.05, batch=batch)["G"]
        return list(map(int, outcome.correct))

    whole = of(attack)
    assert 0 < sum(whole) < 32
    assert of(attack, batch=7) == of(hungry(attack)) == whole


def test_the_attack_searches_on_the_folded_source_and_the_target_judges_as_it_is() -> None:
    model = small_network()
    kinds: list[list[str]] = []

    def look(network: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        kinds.append([type(module).__name__ for module in network.children()][:2])
        network.get_parameter("4.weight").neg_()
        return images

    (outcome,) = transfer(model, {"G": model}, labelled(model), make(look, norm=True)).values()
    assert kinds == [["Conv2d", "Identity"]]
    assert outcome.count == 32  # the spoiled network was the attack's own


def test_images_leave_when_every_target_is_fooled() -> None:
    target = Counting()
    seen: list[int] = []

    def spoil(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        seen.append(len(images))
        return 1 - images

    transfer(small_network(), {"G": target}, labelled(target), make(spoil, trials=3), batch=40)
    assert seen[0] == 32  # eight are wrong from the start
    assert seen == sorted(seen, reverse=True)
    assert seen[1:] == [] or seen[1] < 32


def test_the_source_is_left_in_its_mode_and_the_attack_is_checked() -> None:
    source, target = small_network(), Counting()
    images = labelled(target)
    source.train()
    transfer(source, {"G": target}, images, make(nothing))
    assert source.training
    with pytest.raises(WindfirmError) as error:
        transfer(source, {"G": target}, images, make(lambda m, x, y, b: x + 2))
    assert str(error.value).startswith("attack toy: expected images in [0, 1], got values in [2")
    with pytest.raises(InputError) as error:
        transfer(source, {}, images, make(nothing))
    assert str(error.value) == "transfer: expected at least one target, by its name in a dict, got none"
