"""Auto-PGD: gradient steps with momentum that halve their own size (Croce & Hein, ICML 2020, algorithm 1)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import margin
from windfirm.attack.budget import NORMS, Attack, Budget, Norm
from windfirm.attack.climb import Look, Loss, look, mostly, pack
from windfirm.attack.losses import dlr, targeted_dlr
from windfirm.attack.options import check, some
from windfirm.attack.projection import project, random_point, steepest
from windfirm.attack.targets import towards

#: The share α of the new step; the rest is the step before.
MOMENTUM = 0.75

#: The share ρ of steps that must raise the loss, else the step size is halved.
RISING = 0.75

#: What the paper runs, and what titles measure a run by.
STEPS, TARGETS = 100, 9


def apgd_ce(side: int, *, steps: int = STEPS, restarts: int = 1, norm: Norm = "linf") -> Attack:
    """Auto-PGD on the cross-entropy, climbed as its margin: see windfirm.attack.losses."""
    return _untargeted("apgd-ce", "the cross-entropy", margin, steps, restarts, norm)


def apgd_dlr(side: int, *, steps: int = STEPS, restarts: int = 1, norm: Norm = "linf") -> Attack:
    """Auto-PGD on the difference of logits ratio; of use with at least 3 classes."""
    return _untargeted("apgd-dlr", "the difference of logits ratio", dlr, steps, restarts, norm)


def _untargeted(name: str, what: str, loss: Loss, steps: int, restarts: int, norm: Norm) -> Attack:
    check(name, norm, steps=steps, restarts=restarts)

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        start = random_point(images, budget, norm, name)
        return climb(name, model, images, labels[:, None], start, budget, loss, steps, norm)[0]

    title = f"{_run(steps)} on {what}, {some(restarts, 'random start')}, {NORMS[norm]}, white-box, true labels"
    return Attack(name, title, apply, restarts, average=False, norm=norm, packs=True)


def apgd_t(side: int, *, steps: int = STEPS, targets: int = TARGETS, restarts: int = 1, norm: Norm = "linf") -> Attack:
    """Auto-PGD on the targeted difference of logits ratio, towards the ``targets`` likeliest other classes in turn.

    Each from a random start of its own; classes that the network does not have are left out. Applying it raises
    InputError for a network with fewer than 4 classes.
    """
    check("apgd-t", norm, steps=steps, targets=targets, restarts=restarts)

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        def towards_one(images: Tensor, aims: Tensor, budgets: Sequence[Budget]) -> tuple[Tensor, Tensor]:
            parts = zip(images.chunk(len(budgets)), budgets, strict=True)
            start = torch.cat([random_point(part, one, norm, "apgd-t") for part, one in parts])
            moved, height = climb("apgd-t", model, images, aims, start, budget, targeted_dlr, steps, norm)
            return moved, (-height).sigmoid()  # 0 where it fooled, at least 1/2 elsewhere

        return towards(towards_one, model, images, labels, budget, count=targets, enough=0)[0]

    title = (
        f"{_run(steps, short=targets < TARGETS)} on the targeted difference of logits ratio, {targets} target classes "
        f"(or all others), {some(restarts, 'random start')} each, {NORMS[norm]}, white-box, true labels"
    )
    return Attack("apgd-t", title, apply, restarts, average=False, norm=norm, packs=True)


def _run(steps: int, *, short: bool = False) -> str:
    """What is run, in words: a shorter run than the paper's does not get its name alone."""
    return f"{'shortened ' if short or steps < STEPS else ''}Auto-PGD, {some(steps, 'step')}"


class State(NamedTuple):
    """Where the images are that are left: n rows of each tensor.

    ``rows`` (n,): their places among all. ``aims`` (n, k): see look. ``moved`` is x(k), ``before`` x(k-1), ``best`` the
    point with the highest loss so far (n, c, h, w), each of the first and last with its loss (n,) and gradient.
    ``step`` (n, 1, 1, 1): the step size η. Since the last check: how often the loss ``rises`` (n,); at it: the best
    loss ``then`` (n,), and whether the step was ``halved`` (n,).
    """

    rows: Tensor
    images: Tensor
    aims: Tensor
    moved: Tensor
    before: Tensor
    loss: Tensor
    gradient: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    step: Tensor
    rises: Tensor
    then: Tensor
    halved: Tensor


def climb(
    name: str,
    model: nn.Module,
    images: Tensor,
    aims: Tensor,
    start: Tensor,
    budget: Budget,
    loss: Loss,
    steps: int,
    norm: Norm,
) -> tuple[Tensor, Tensor]:
    """For each image the first point at which ``model`` is wrong, else the one with the highest ``loss`` of all.

    With that loss (b,), infinite where ``model`` is wrong. ``aims`` (b, k): the labels, and in further columns what
    else ``loss`` asks for; ``name`` is that of the attack.
    """
    at = look(name, model, start, aims, loss, budget.batch)
    state = beginning(images, aims, start, at, budget.eps)
    result, height, last, checks = start.clone(), at.loss.masked_fill(at.wrong, torch.inf), 0, checkpoints(steps)
    for k in range(1, steps + 1):
        state = pack(state, ~at.wrong)
        if not len(state.rows):
            break
        moved = advanced(state, budget.eps, norm, MOMENTUM if k > 1 else 1.0)
        glance = mostly(state.loss, state.gradient, moved - state.moved)
        at = look(name, model, moved, state.aims, loss, budget.batch, glance=glance)
        state = seen(state, moved, at)
        if k in checks:
            state, last = halved(state, k - last), k
        result[state.rows] = torch.where(at.wrong[:, None, None, None], moved, state.best)
        height[state.rows] = state.best_loss.masked_fill(at.wrong, torch.inf)
    return result, height


def beginning(images: Tensor, aims: Tensor, start: Tensor, at: Look, eps: float) -> State:
    """All images at ``start``, with the steps of 2 eps that the paper begins with."""
    count = len(images)
    return State(
        rows=torch.arange(count, device=images.device),
        images=images,
        aims=aims,
        moved=start,
        before=start,
        loss=at.loss,
        gradient=at.gradient,
        best=start,
        best_loss=at.loss,
        best_gradient=at.gradient,
        step=images.new_full((count, 1, 1, 1), 2 * eps),
        rises=torch.zeros_like(at.loss),
        then=at.loss,
        halved=torch.zeros_like(at.wrong),
    )


def advanced(state: State, eps: float, norm: Norm, share: float) -> Tensor:
    """The next points (n, c, h, w): ``share`` of a projected gradient step, and 1 - ``share`` of the step before."""
    up = project(state.moved + state.step * steepest(state.gradient, norm), state.images, eps, norm)
    mixed = state.moved + share * (up - state.moved) + (1 - share) * (state.moved - state.before)
    return project(mixed, state.images, eps, norm)


def seen(state: State, moved: Tensor, at: Look) -> State:
    """The state after the network was seen at ``moved``."""
    better = at.loss > state.best_loss
    rows = better[:, None, None, None]
    return state._replace(
        before=state.moved,
        moved=moved,
        gradient=at.gradient,
        rises=state.rises + (at.loss > state.loss),
        loss=at.loss,
        best=torch.where(rows, moved, state.best),
        best_loss=torch.where(better, at.loss, state.best_loss),
        best_gradient=torch.where(rows, at.gradient, state.best_gradient),
    )


def halved(state: State, since: int) -> State:
    """The state after a check, ``since`` steps after the one before.

    The step is halved, and the climb goes on from the best point, where the loss rose in less than a share of
    RISING of the steps, or where nothing better was found and the step was not halved at the check before.
    """
    stuck = ~state.halved & (state.best_loss <= state.then)
    less = (state.rises < RISING * since) | stuck
    rows = less[:, None, None, None]
    return state._replace(
        step=torch.where(rows, state.step / 2, state.step),
        moved=torch.where(rows, state.best, state.moved),
        gradient=torch.where(rows, state.best_gradient, state.gradient),
        loss=torch.where(less, state.best_loss, state.loss),
        rises=torch.zeros_like(state.rises),
        then=state.best_loss,
        halved=less,
    )


def checkpoints(steps: int) -> list[int]:
    """After which of ``steps`` steps the step size is looked at: 22, 41, 57, 70, 80, 87, 93 and 99 of 100."""
    percent, gap, found = 0, 22, []
    while percent + gap <= 100:
        percent += gap
        found.append(-(-percent * steps // 100))
        gap = max(gap - 3, 6)
    return sorted(set(found))
