import torch
from torch import Tensor

from windfirm.attack.pieces import pieces


def test_pieces_are_no_larger_than_the_batch_and_are_put_together_in_order() -> None:
    sizes = []

    def of(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(a))
        return a + b, a - b

    a, b = torch.arange(7), torch.ones(7, dtype=torch.int64)
    for batch, wanted in ((3, [3, 3, 1]), (None, [7])):
        sizes.clear()
        total, rest = pieces(of, batch, a, b)
        assert (total.tolist(), rest.tolist()) == ([1, 2, 3, 4, 5, 6, 7], [-1, 0, 1, 2, 3, 4, 5])
        assert sizes == wanted
