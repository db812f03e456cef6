"""A network with one unit silent, for every unit, without running all of it each time.

Up to where a unit is first read nothing differs, so a silenced variant begins there, with what the forward pass has
made by then. At a convolution the variant's result is the network's minus what the unit gives to it. Variants of many
units and images make one batch; where a unit is silent by itself for an image there is nothing to compute.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from windfirm.prune.criteria.forks import Fork, Reader
from windfirm.prune.replay import Program, rows_of
from windfirm.prune.steps import Step, Values

#: How many rows of variants run at once: few enough for the caches of a processor, many for a GPU.
ROWS = {"cpu": 128, "cuda": 1024}


@dataclass(frozen=True)
class Part:
    """Some variants: row i is image ``images[i]`` with unit ``units[i]`` silent, ``values`` what its last step needs.

    Pairs that are in no part are those where silence changes nothing.
    """

    fork: Fork
    units: Tensor
    images: Tensor
    values: Values


def variants(program: Program, found: Sequence[Fork], values: Values, images: int, stop: int) -> Iterator[Part]:
    """Run the program up to step ``stop``, and from every fork the variants of its structure up to there.

    ``values`` are those before the first step, ``images`` their number.
    """
    for i in range(min(stop + 1, len(program.steps))):
        for fork in found:
            if fork.start == i and fork.resume <= stop:
                yield from _variants(program, fork, values, images, stop)
        if i < stop:
            program.make(program.steps[i], values, images)


def _variants(program: Program, fork: Fork, values: Values, images: int, stop: int) -> Iterator[Part]:
    step = program.steps[fork.start]
    bypass = fork.resume > fork.start
    subtracts = fork.start < stop and not bypass and _subtracts(program, step, fork.readers.get(fork.start, []))
    read = program.args(step, values, images)
    (made, *_) = program.steps[fork.resume - 1 if bypass else fork.start].outputs
    live = [key for key in program.live(fork.resume + subtracts) if key != made.key or not (bypass or subtracts)]
    base = program.made(step, values, images)[made.key] if subtracts else read[0] if bypass else None
    take_away = _taking_away(read, fork.readers[fork.start][0]) if subtracts else None
    units, numbers = _pairs(fork, read, images)
    if not len(units):
        return
    rows = ROWS.get(read[0].device.type, ROWS["cpu"])
    for u, m in zip(torch.split(units, rows), torch.split(numbers, rows), strict=True):
        there = m.to(read[0].device)
        own = {key: _gathered(values[key], there, program.rows[key]) for key in live}
        if base is not None:
            own[made.key] = rows_of(base, there, program.rows[made.key])
        if take_away:
            take_away(own[made.key], u.to(there.device), there)
        for j in range(fork.resume + subtracts, stop):
            changed = j in fork.readers or (j == fork.start and fork.silent is not None)
            program.make(program.steps[j], own, len(m), fork.args(program, j, own, u) if changed else None)
        yield Part(fork, u, m, own)


def _gathered(tensor: Tensor, images: Tensor, each: int) -> Tensor:
    return rows_of(tensor, images, each) if each else tensor.clone()


def _subtracts(program: Program, step: Step, readers: Sequence[Reader]) -> bool:
    """Whether what a unit gives to a result can be taken away: a convolution that mixes all channels of an image."""
    plain = step.op is torch.ops.aten.convolution.default and not step.args[6] and step.args[8] == 1
    alone = len(readers) == 1 and readers[0].argument == 0 and readers[0].axis == 1
    return plain and alone and program.rows[step.outputs[0].key] == 1


def _pairs(fork: Fork, read: Sequence[Any], images: int) -> tuple[Tensor, Tensor]:
    """The units and images for which something changes, unit by unit."""
    alive = torch.ones(fork.structure.size, images, dtype=torch.bool)
    readers = fork.readers.get(fork.start, [])
    if len(fork.readers) == len(readers) == 1 and len(read[readers[0].argument]) == images:
        maps = read[readers[0].argument].movedim(readers[0].axis, 1)
        seen = (maps.flatten(2) != 0).any(2) if maps.ndim > 2 else maps != 0
        alive = (1 - readers[0].stays) @ seen.T.float().cpu() > 0
    units, numbers = alive.nonzero(as_tuple=True)
    return units, numbers


def _taking_away(read: Sequence[Any], reader: Reader) -> Callable[[Tensor, Tensor, Tensor], None]:
    """What subtracts from the results of a convolution, for (units, images), what each row's unit gave to it.

    That is patches of the unit's maps times its weights.
    """
    maps, weight, _, stride, padding, dilation = read[:6]
    silent = 1 - reader.stays.to(maps.device)
    given, channels = silent.topk(int(silent.sum(1).max()))  # where a unit has fewer, the others count as 0
    maps, wide = maps.contiguous().flatten(0, 1), maps.shape[1]
    weights = weight.movedim(0, -1).flatten(1, -2)[channels] * given.to(weight.dtype)[:, :, None, None]
    weights = weights.flatten(1, 2)

    def take_away(results: Tensor, units: Tensor, images: Tensor) -> None:
        own = maps[images[:, None] * wide + channels[units]]
        patches = _patches(own, weight.shape[2:], stride, padding, dilation)
        results.view(*results.shape[:2], -1).transpose(1, 2).baddbmm_(patches, weights[units], alpha=-1)

    return take_away


def _patches(
    maps: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """What a convolution sees at each position, maps (b, c, …) to (b, positions, c · numbers of the kernel)."""
    maps = F.pad(maps, [width for width in reversed(padding) for _ in (0, 1)])
    for axis, (size, step, apart) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        maps = maps.unfold(axis, (size - 1) * apart + 1, step)[..., ::apart]
    last = 2 + len(kernel)
    maps = maps.movedim(tuple(range(last, maps.ndim)), tuple(range(2, last)))
    return maps.flatten(last).flatten(1, -2).transpose(1, 2)
