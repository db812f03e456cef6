from torch import nn

from tests.prune.nets import EXAMPLE, Net, lively, residual
from windfirm.prune.cut import cut
from windfirm.prune.profile import Width, profile
from windfirm.prune.select import Cut
from windfirm.prune.structure import anatomy


def test_layers_stand_in_the_order_in_which_they_run_with_what_is_left_of_them() -> None:
    model = residual()
    body = anatomy(model, EXAMPLE)
    block = next(s for s in body.structures if s.name == "3" and s.kind == "block")
    smaller = cut(model, Cut({block: (0,), body.named("5"): (0, 1, 2), body.named("7.conv1"): (6,)}), EXAMPLE)
    widths = {width.layer: (width.before, width.after) for width in profile(model, smaller, EXAMPLE)}
    assert widths == {
        "0": (4, 4),
        "2.conv1": (4, 4),
        "2.conv2": (4, 4),
        "3.conv1": (4, 0),
        "3.conv2": (4, 0),
        "4.conv1": (4, 4),
        "4.conv2": (4, 4),
        "5": (8, 5),
        "7.conv1": (8, 7),
        "7.conv2": (8, 5),
        "8.conv1": (8, 8),
        "8.conv2": (8, 5),
        "11": (3, 3),
    }
    assert list(widths)[-1] == "11"


def test_kinds_of_layers_and_what_never_runs() -> None:
    layers = {"last": nn.Linear(4, 3), "idle": nn.Linear(4, 3), "deep": nn.Conv2d(4, 4, 3, groups=4)}
    model = lively(Net(lambda m, x: m.last(m.deep(m.up(x)).mean((2, 3))), **layers, up=nn.ConvTranspose2d(2, 4, 3)))
    assert profile(model, model, EXAMPLE) == [
        Width("up", "conv", 4, 4),
        Width("deep", "depthwise", 4, 4),
        Width("last", "linear", 3, 3),
    ]
