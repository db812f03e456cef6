"""The Square attack: a random search that only asks for logits (Andriushchenko et al., ECCV 2020, Linf).

Each query changes one square of an image to the ends of its budget, a sign a channel; the change stays when the true
class loses ground by it. Squares get smaller as the queries are spent.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.attack.occlusion import cover
from windfirm.attack.options import check
from windfirm.attack.pieces import pieces
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
        sides = torch.tensor([side_of_square(q, queries, share, height, width) for q in range(queries)])
        for first in range(1, queries, _BLOCK):
            left = (lowest >= 0).nonzero()[:, 0]
            if not len(left):
                break
            # For each image and query two numbers for the place of the square, and a sign a channel.
            few = budget.only(left, images).draw(images[left], _BLOCK * (2 + channels), f"square {first}")
            numbers = few.view(len(left), _BLOCK, 2 + channels)[:, : queries - first].to(images.device)
            search = Search(images[left], labels[left], changed[left], lowest[left], numbers)
            side = sides[first : first + _BLOCK].to(images.device)
            changed[left], lowest[left] = spent(look, search, side, budget)
        return changed

    title = f"random search with squares, at most {queries:,} queries, p {share:g}, Linf, black-box, true labels"
    exact = frozenset([0])  # it takes the least gain, rounded or not
    return Attack("square", title, apply, trials=1, average=False, norm="linf", packs=True, exact=exact)


class Search(NamedTuple):
    """Where n images are: ``changed`` (n, c, h, w) so far, to where the true class leads by ``lowest`` (n,).

    ``numbers`` (n, queries, 2 + c), in [0, 1): what decides on an image's next queries.
    """

    images: Tensor
    labels: Tensor
    changed: Tensor
    lowest: Tensor
    numbers: Tensor


def spent(
    look: Callable[[Tensor, Tensor], tuple[Tensor]], search: Search, sides: Tensor, budget: Budget
) -> tuple[Tensor, Tensor]:
    """``changed`` and ``lowest`` after as many queries as there are ``sides`` of squares, or after one that fools.

    Most queries change nothing. Where images are few, an image's next ones are therefore asked all at once, as if none
    before them would: after the first that does, those behind it are asked anew.
    """
    changed, lowest = search.changed.clone(), search.lowest.clone()
    left = torch.arange(len(lowest), device=lowest.device)
    done = torch.zeros_like(left)  # queries of each that is left
    while len(left):
        ahead = max(1, budget.at_once // len(left))
        query = (done[:, None] + torch.arange(ahead, device=left.device)).clamp(max=len(sides) - 1)
        rows = left.repeat_interleave(ahead)
        tried = _tried(search, changed, rows, query.flatten(), sides, budget.eps)
        (leads,) = pieces(look, budget.batch, tried, search.labels[rows])
        better = leads.view(-1, ahead) < lowest[left, None]
        some, first = better.any(1), better.byte().argmax(1)
        taken = (torch.arange(len(left), device=left.device) * ahead + first)[some]
        changed[left[some]], lowest[left[some]] = tried[taken], leads[taken]
        done = done + torch.where(some, first + 1, ahead)
        still = (lowest[left] >= 0) & (done < len(sides))
        if not still.all():
            left, done = left[still], done[still]
    return changed, lowest


def _tried(search: Search, changed: Tensor, rows: Tensor, query: Tensor, sides: Tensor, eps: float) -> Tensor:
    """The images at ``rows`` (b,) as ``changed``, with the square of the ``query`` (b,) of each."""
    height, width = changed.shape[-2:]
    numbers, size = search.numbers[rows, query], sides[query]
    room = torch.stack((height - size + 1, width - size + 1), 1)
    top, start = (numbers[:, :2] * room).long().unbind(1)
    ends = (search.images[rows] + eps * _signs(numbers[:, 2:, None, None], changed)).clamp(0, 1)
    return cover(changed[rows], top, start, size, ends)


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
