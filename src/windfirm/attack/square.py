"""The Square attack: a random search that only asks for logits (Andriushchenko et al., ECCV 2020, Linf).

Each query changes one square of an image to the ends of its budget, a sign a channel; the change stays when the true
class loses ground by it. Squares get smaller as the queries are spent.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.attack.occlusion import cover
from windfirm.errors import InputError, expected

#: After how many of 10,000 queries the share of the image that a square covers is halved (section 3, "sampling").
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)

#: Queries that random numbers are drawn for at once.
_BLOCK = 100


def square(side: int, *, queries: int = 5000, share: float = 0.8) -> Attack:
    """``queries`` looks at the logits at most, the first of them at vertical stripes, which leave once it is fooled.

    ``share``: how much of the image the first squares cover, called p in the paper. It is halved at the times of the
    paper, rescaled from its 10,000 queries to ``queries``.
    """
    if queries < 1:
        raise InputError(expected("square", "at least 1 query", queries))
    if not 0 < share <= 1:
        raise InputError(expected("square", "a share in (0, 1]", share))

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        count, channels, height, width = images.shape
        stripes = _signs(budget.draw(images, channels * width, "square stripes").to(images))
        changed = (images + budget.eps * stripes.view(count, channels, 1, width)).clamp(0, 1)
        lead = _lead(model(changed), labels)
        left = (lead >= 0).nonzero()[:, 0]
        for query, numbers in zip(range(1, queries), _numbers(budget, images), strict=False):
            if len(left) == 0:
                break
            size = width_of_square(query, queries, share, height, width)
            places = numbers[left, :2] * numbers.new_tensor([height - size + 1, width - size + 1])
            ends = (images[left] + budget.eps * _signs(numbers[left, 2:, None, None].to(images))).clamp(0, 1)
            top, start = places.long().unbind(1)
            tried = cover(changed[left], top, start, size, ends)
            leads = _lead(model(tried), labels[left])
            better = leads < lead[left]
            changed[left[better]], lead[left[better]] = tried[better], leads[better]
            left = left[lead[left] >= 0]
        return changed

    title = f"random search with squares, at most {queries} queries, p {share:g}, black-box"
    return Attack("square", title, apply, trials=1, average=False, norm="linf")


def width_of_square(query: int, queries: int, share: float, height: int, width: int) -> int:
    """The width in pixels of the square of query number ``query`` of ``queries``; query 0 is the stripes."""
    area = share * 0.5 ** bisect_left(HALVINGS, 10_000 * query / queries) * height * width
    return min(max(round(math.sqrt(area)), 1), height, width)


def _numbers(budget: Budget, images: Tensor) -> Iterator[Tensor]:
    """For one query after another (b, 2 + c) numbers in [0, 1): the place of the square and a sign a channel."""
    each = 2 + images.shape[1]
    for block in itertools.count():
        numbers = budget.draw(images, _BLOCK * each, f"square {block}").to(images.device)
        yield from numbers.view(len(images), _BLOCK, each).unbind(1)


def _signs(numbers: Tensor) -> Tensor:
    """-1 or 1, equally likely, from numbers that are uniform in [0, 1)."""
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the true class is above the best of the others, (b,): the margin loss; negative when fooled."""
    true = labels[:, None]
    return logits.gather(1, true)[:, 0] - logits.scatter(1, true, -torch.inf).amax(1)
