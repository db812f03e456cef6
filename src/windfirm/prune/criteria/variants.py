"""A network with one unit silent, for every unit, without running all of it each time.

Up to where a unit is first read nothing differs, so a silenced variant begins there, with what the forward pass has
made by then. At a convolution the variant's result is the network's minus what the unit gives to it. Variants of many
units and images make one batch; where a unit is silent by itself for an image there is nothing to compute.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Subject
from windfirm.prune.replay import Program, rows_of
from windfirm.prune.select import Cut
from windfirm.prune.steps import Step, Values, refs_in
from windfirm.prune.structure import Structure
from windfirm.prune.verify import silencing

#: How many rows of variants run at once: few enough for the caches of a processor, many for a GPU.
ROWS = {"cpu": 128, "cuda": 1024}


@dataclass(frozen=True)
class Reader:
    """Who reads units: in that argument, along that axis; ``stays`` (units, channels) is 0 where a unit is silent."""

    argument: int
    axis: int
    stays: Tensor


@dataclass(frozen=True)
class Fork:
    """Where the variants of a structure leave the network, and where they go on: steps ``start`` and ``resume``.

    They are the same unless a layer is bypassed. ``silent`` is the argument of the first that is zero whole, or None.
    """

    structure: Structure
    start: int
    resume: int
    readers: dict[int, list[Reader]]
    silent: int | None = None

    def args(self, program: Program, number: int, own: Values, units: Tensor) -> list[Any]:
        """The arguments of step ``number`` in variants with these units silent, a row each."""
        args = program.args(program.steps[number], own, len(units))
        if self.silent is not None and number == self.start:
            args[self.silent] = torch.zeros_like(args[self.silent])
        for reader in self.readers.get(number, ()):
            value = args[reader.argument]
            keep = reader.stays[units].to(value).repeat_interleave(len(value) // len(units), 0)
            shape = [1] * value.ndim
            shape[0], shape[reader.axis] = keep.shape
            args[reader.argument] = value * keep.view(shape)
        return args


@dataclass(frozen=True)
class Part:
    """Some variants: row i is image ``images[i]`` with unit ``units[i]`` silent, ``values`` what its last step needs.

    Pairs that are in no part are those where silence changes nothing.
    """

    fork: Fork
    units: Tensor
    images: Tensor
    values: Values


def forks(subject: Subject, structures: Sequence[Structure], program: Program) -> list[Fork]:
    """Where each structure's variants begin; one that cannot be followed through the program is left out."""
    found = [_block(s, program) if s.kind == "block" else _filters(subject, s, program) for s in structures]
    return sorted((fork for fork in found if fork and _parts(fork, program)), key=lambda fork: fork.start)


def _parts(fork: Fork, program: Program) -> bool:
    """Whether variants can have copies of all that they begin with: image by image, and each in memory of its own."""
    live = program.live(fork.start)
    read = [program.steps[i].args[reader.argument].key for i, readers in fork.readers.items() for reader in readers]
    if any(program.rows[key] < 0 for key in live) or any(program.rows.get(key, 0) < 1 for key in read):
        return False
    later = program.steps[fork.start :]
    written = {ref.storage for step in later if step.op._schema.is_mutable for ref in refs_in(step.args[:1])}
    shared = Counter(program.storage[key] for key in live)
    between = {ref.key for step in program.steps[fork.start : fork.resume - 1] for ref in step.outputs}
    return all(shared[storage] < 2 for storage in written) and between.isdisjoint(program.live(fork.resume))


def _block(block: Structure, program: Program) -> Fork | None:
    if block.bypassed is not None:
        first, last = (program.index.get(place) for place in block.bypassed)
        return None if first is None or last is None else Fork(block, first, last + 1, {})
    if block.silent is None or block.silent[0] not in program.index:
        return None
    place, argument = block.silent
    number = program.index[place]
    key = program.calls[place].args[argument].key  # its step may have the arguments in another order
    keys = [getattr(arg, "key", None) for arg in program.steps[number].args]
    return Fork(block, number, number, {}, keys.index(key))


def _filters(subject: Subject, structure: Structure, program: Program) -> Fork | None:
    stays: dict[tuple[int, int, int], Tensor] = {}
    for unit in range(structure.size):
        silence = silencing(subject.body, Cut({structure: (unit,)}))
        for place, readings in silence.readings.items():
            if program.idle(place):
                continue
            for reading in readings:
                if place not in program.index or reading.axis == 0:
                    return None
                key = (program.index[place], reading.argument, reading.axis)
                keep = stays.setdefault(key, torch.ones(structure.size, len(reading.nodes)))
                keep[unit] = torch.from_numpy(~silence.mask[reading.nodes])
    readers: dict[int, list[Reader]] = {}
    for (step, argument, axis), keep in stays.items():
        readers.setdefault(step, []).append(Reader(argument, axis, keep))
    return Fork(structure, min(readers), min(readers), readers) if readers else None


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
    units, numbers = _pairs(fork, read, images)
    if not len(units):
        return
    rows = ROWS.get(read[0].device.type, ROWS["cpu"])
    for u, m in zip(torch.split(units, rows), torch.split(numbers, rows), strict=True):
        there = m.to(read[0].device)
        own = {key: _gathered(values[key], there, program.rows[key]) for key in live}
        if base is not None:
            own[made.key] = rows_of(base, there, program.rows[made.key])
        if subtracts:
            _take_away(own[made.key], read, fork.readers[fork.start][0], u, there)
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


def _take_away(results: Tensor, read: Sequence[Any], reader: Reader, units: Tensor, images: Tensor) -> None:
    """Subtract from the results of a convolution what each row's unit gave to it."""
    maps, weight, _, stride, padding, dilation = read[:6]
    found, counts = torch.unique_consecutive(units, return_counts=True)
    parts = counts.tolist()
    for unit, numbers, own in zip(found, torch.split(images, parts), torch.split(results, parts), strict=True):
        channels = (reader.stays[unit] == 0).nonzero()[:, 0].to(maps.device)
        silent = maps.index_select(1, channels).index_select(0, numbers)
        kernel = weight.index_select(1, channels)
        own -= torch.convolution(silent, kernel, None, stride, padding, dilation, False, [0] * len(stride), 1)
