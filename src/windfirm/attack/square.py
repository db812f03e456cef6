"""The Square attack: a random search that only asks for logits (Andriushchenko et al., ECCV 2020, Linf).

Each query changes one square of an image to the ends of its budget, a sign a channel; the change stays when the true
class loses ground by it. Squares get smaller as the queries are spent.
"""

import math
from bisect import bisect_left

import torch
from torch import Tensor, nn

from windfirm.attack.border import pieces
from windfirm.attack.budget import Attack, Budget
from windfirm.attack.climb import check
from windfirm.attack.occlusion import cover
from windfirm.errors import InputError, expected

#: After how many of 10,000 queries the share of the image that a square covers is halved (section 3, "sampling").
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)

#: Queries that random numbers are drawn for at once.
_BLOCK = 100


def square(side: int, *, queries: int = 5000, share: float = 0.8) -> Attack:
    """At most ``queries`` looks at an image's logits, the first with vertical stripes; the first that fools ends it.

    ``share``: how much of the image the first squares cover, called p in the paper. It is halved at the times of the
    paper, rescaled from its 10,000 queries to ``queries``.
    """
    check("square", "linf", queries=queries)
    if not 0 < share <= 1:
        raise InputError(expected("square", "a share in (0, 1]", share))

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        def look(images: Tensor, labels: Tensor) -> tuple[Tensor]:
            return (_lead(model(images), labels),)

        channels, height, width = images.shape[1:]
        stripes = _signs(budget.draw(images, channels * width, "square stripes").view(-1, channels, 1, width), images)
        changed = (images + budget.eps * stripes).clamp(0, 1)
        (lowest,) = pieces(look, budget.batch, changed, labels)
        left = (lowest >= 0).nonzero()[:, 0]
        for query in range(1, queries):
            if not len(left):
                break
            place = (query - 1) % _BLOCK
            if place == 0:  # for each image and query two numbers for the place of the square, and a sign a channel
                few = budget.only(left, images).draw(images[left], _BLOCK * (2 + channels), f"square {query}")
                numbers = few.view(len(left), _BLOCK, 2 + channels).to(images.device)
            size = side_of_square(query, queries, share, height, width)
            room = numbers.new_tensor([height - size + 1, width - size + 1])
            top, start = (numbers[:, place, :2] * room).long().unbind(1)
            ends = (images[left] + budget.eps * _signs(numbers[:, place, 2:, None, None], images)).clamp(0, 1)
            tried = cover(changed[left], top, start, size, ends)
            (found,) = pieces(look, budget.batch, tried, labels[left])
            better = found < lowest[left]
            changed[left[better]], lowest[left[better]] = tried[better], found[better]
            still = lowest[left] >= 0
            if not still.all():
                left, numbers = left[still], numbers[still]
        return changed

    title = f"random search with squares, at most {queries:,} queries, p {share:g}, Linf, black-box, true labels"
    exact = frozenset([0])  # it takes the least gain, rounded or not
    return Attack("square", title, apply, trials=1, average=False, norm="linf", packs=True, exact=exact)


def side_of_square(query: int, queries: int, share: float, height: int, width: int) -> int:
    """The side in pixels of the square of query number ``query`` of ``queries``; query 0 is the stripes."""
    area = share * 0.5 ** bisect_left(HALVINGS, 10_000 * query / queries) * height * width
    return min(max(round(math.sqrt(area)), 1), height, width)


def _signs(numbers: Tensor, images: Tensor) -> Tensor:
    """-1 or 1, alike likely, of the type of ``images``, from ``numbers`` that are uniform in [0, 1)."""
    return torch.where(numbers < 0.5, -1, 1).to(images)


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the true class is above the best of the others, (b,): the margin loss; negative when fooled."""
    true = labels[:, None]
    return logits.gather(1, true)[:, 0] - logits.scatter(1, true, -torch.inf).amax(1)
