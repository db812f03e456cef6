"""Where the variants of a network with one unit silent leave it.

That is at the first step that reads a unit of theirs. A grouped convolution that makes of a unit's channels others of
the same unit does not count: whoever reads those reads zeros, whatever they are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from windfirm.prune.coupling import Coupling, Nodes, Reading
from windfirm.prune.criteria.base import Subject
from windfirm.prune.replay import Program
from windfirm.prune.select import Cut
from windfirm.prune.steps import Values
from windfirm.prune.structure import Anatomy, Structure
from windfirm.prune.trace import refs_in
from windfirm.prune.verify import silencing


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
    key = program.trace.at[place].args[argument].key  # its step may have the arguments in another order
    keys = [getattr(arg, "key", None) for arg in program.steps[number].args]
    return Fork(block, number, number, {}, keys.index(key))


def _filters(subject: Subject, structure: Structure, program: Program) -> Fork | None:
    silence = silencing(subject.body, Cut({structure: tuple(range(structure.size))}))
    owner = _owners(subject.body.coupling, structure)
    stays: dict[tuple[int, int, int], Tensor] = {}
    for reading in (reading for readings in silence.readings.values() for reading in readings):
        if program.idle(reading.place) or (not silence.mixings and _hands_on(subject.body, reading, owner)):
            continue
        if reading.place not in program.index or reading.axis == 0:
            return None
        keep = owner[reading.nodes] != np.arange(structure.size)[:, None]
        stays[program.index[reading.place], reading.argument, reading.axis] = torch.from_numpy(keep).float()
    readers: dict[int, list[Reader]] = {}
    for (step, argument, axis), kept in stays.items():
        readers.setdefault(step, []).append(Reader(argument, axis, kept))
    return Fork(structure, min(readers), min(readers), readers) if readers else None


def _owners(coupling: Coupling, structure: Structure) -> Nodes:
    """The unit that every node belongs to, -1 for none, and at the end for NOBODY."""
    starts = {(axis.tensor, axis.axis): axis.start for axis in coupling.axes}
    owner = np.full(len(coupling.component) + 1, -1, np.int64)
    for piece in structure.slices:
        for unit, indices in enumerate(piece.indices):
            owner[starts[piece.tensor, piece.axis] + np.asarray(indices, np.int64)] = unit
    return owner


def _hands_on(body: Anatomy, reading: Reading, owner: Nodes) -> bool:
    """Whether a grouped convolution reads there, and a group with a channel of a unit makes channels of that alone."""
    call = body.traced.at[reading.place]
    if call.op is not torch.ops.aten.convolution.default or call.args[8] == 1:
        return False
    (out,) = call.outputs
    read, made = (owner[nodes].reshape(call.args[8], -1) for nodes in (reading.nodes, body.coupling.labels[out.key][1]))
    return bool(((read[:, :, None] < 0) | (read[:, :, None] == made[:, None])).all())
