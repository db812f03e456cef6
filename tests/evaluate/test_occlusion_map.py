import pytest
import torch
from torch import Tensor, nn

from tests.evaluate.toys import Counting, Large, labelled, small_network
from windfirm.attack import build
from windfirm.errors import InputError
from windfirm.evaluate import evaluate
from windfirm.evaluate.occlusion_map import occlusion_map


class Corner(nn.Module):
    """Sees the upper left 2×2 pixels alone: the logit of class 0 is their mean, those of 1 and 2 are 0."""

    def forward(self, x: Tensor) -> Tensor:
        logit = x[:, :, :2, :2].mean((1, 2, 3))
        return torch.stack((logit, 0 * logit, 0 * logit), 1)


def test_only_the_place_that_the_network_sees_matters() -> None:
    images = labelled(Corner())
    images.images[:, :, :2, :2] = 255
    images.labels[:] = 0
    odds = occlusion_map(Corner(), images, size=2, stride=2, colour="black")
    assert odds.shape == (40, 4, 4)
    wanted = torch.full((4, 4), 1.0)
    wanted[0, 0] = 0.0
    torch.testing.assert_close(odds, (wanted - torch.tensor(2.0).log()).expand(40, 4, 4))


def test_values_are_log_odds_at_each_place_in_order() -> None:
    model = small_network()
    images = labelled(model, count=6)
    odds = occlusion_map(model, images, size=3, stride=2, batch=4)
    places = 0, 2, 4, 5  # the last at the edge
    assert odds.shape == (6, 4, 4)
    for row, top in enumerate(places):
        for column, left in enumerate(places):
            pixels = images.images / 255
            pixels[:, :, top : top + 3, left : left + 3] = 0.5
            with torch.no_grad():
                shares = model(pixels).softmax(1)[torch.arange(6), images.labels]
            torch.testing.assert_close(odds[:, row, column], torch.logit(shares), rtol=1e-4, atol=1e-4)


def test_the_noise_of_a_square_belongs_to_the_image_whatever_the_batch() -> None:
    model = Counting()
    images = labelled(model, count=6)
    odds = [occlusion_map(model, images, size=4, stride=4, colour="noise", batch=batch) for batch in (4, 6)]
    torch.testing.assert_close(*odds)


def test_the_map_agrees_with_the_worst_case_attack() -> None:
    class Halves(nn.Module):
        """Two classes, for which the log odds are above 0 exactly where the prediction is right."""

        def __init__(self) -> None:
            super().__init__()
            self.sums = Counting()

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pad(self.sums(x)[:, :2] / 1e4, (0, 1), value=-1e9)

    model = Halves()
    images = labelled(model)
    images.labels.clamp_(max=1)
    odds = occlusion_map(model, images)
    survives = (odds > 0).flatten(1).all(1) & (model(images.images / 255).argmax(1) == images.labels)
    assert evaluate(model, images, build("occlusion-worst", 8)).correct.tolist() == survives.long().tolist()
    assert 0 < survives.sum() < 40


def test_images_that_are_not_square_are_refused() -> None:
    images = labelled(Counting())
    object.__setattr__(images, "images", images.images[..., :6])
    with pytest.raises(InputError) as error:
        occlusion_map(Counting(), images)
    assert str(error.value) == "occlusion map: expected at least one image, square, got 40 of 8×6"


def test_a_lack_of_memory_changes_nothing() -> None:
    model = Counting()
    images = labelled(model)
    assert torch.equal(occlusion_map(Large(model), images, size=4), occlusion_map(model, images, size=4))


def test_outputs_are_those_of_the_judge_checked_and_whatever_autocast_says() -> None:
    network = small_network()
    images = labelled(network)
    plain = occlusion_map(network, images, size=4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(occlusion_map(network, images, size=4), plain)

    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            covered = (x == 0.5).flatten(1).any(1, keepdim=True)
            out: Tensor = network(x).masked_fill(covered, torch.nan)
            return out

    with pytest.raises(InputError, match="model: expected outputs that are numbers, got NaN"):
        occlusion_map(Blind(), images, size=4)
