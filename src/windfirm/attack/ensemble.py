"""Several attacks as one: each is given what those before it have left."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.errors import InputError, expected


def ensemble(name: str, title: str, parts: Sequence[Attack]) -> Attack:
    """``parts`` in that order, under one ``name``; ``title`` is followed by those of the parts.

    A trial of the ensemble is a trial of a part: whoever judges the trials lets go of what is fooled between them.
    Raises InputError unless all parts bound changes in the same norm and count the worst case.
    """
    if len({part.norm for part in parts}) != 1 or any(part.average for part in parts):
        raise InputError(expected(name, "worst-case attacks in one norm", ", ".join(part.name for part in parts)))
    turns = [(part, trial) for part in parts for trial in range(part.trials)]

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        part, trial = turns[budget.trial]
        size = len(images) if part.packs or budget.batch is None else budget.batch
        budget = replace(budget, trial=trial)
        pieces = torch.split(torch.arange(len(images), device=images.device), size)
        return torch.cat([part.apply(model, images[i], labels[i], budget.only(i, images)) for i in pieces])

    words = "; ".join(f"{part.name} ({part.title})" for part in parts)
    title = f"{title}: {words}"
    exact = frozenset(number for number, (part, trial) in enumerate(turns) if trial in part.exact)
    return Attack(name, title, apply, len(turns), average=False, norm=parts[0].norm, packs=True, exact=exact)
