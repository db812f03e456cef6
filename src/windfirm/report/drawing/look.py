"""How a series looks: colour, dashes and marker, the three networks of a comparison first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from windfirm.evaluate.compare import Role
from windfirm.report.drawing.series import Series, measured


@dataclass(frozen=True)
class Look:
    """The CSS class of a series, its dashes, and its marker as an SVG path about the origin."""

    css: str
    dashes: str
    marker: str


#: The networks of a comparison, in the order in which they are drawn.
ROLES: Mapping[Role, Look] = {
    "F": Look("f", "", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z"),
    "control": Look("control", "7 4", "M-3.6,-3.6h7.2v7.2h-7.2z"),
    "F'": Look("pruned", "2 3", "M0,-4.8L4.6,3.4H-4.6z"),
}
#: Everything else, by position: classes s0 to s7 with these dashes and markers.
DASHES = ("", "8 3", "3 3", "9 3 2 3", "14 4", "2 2", "9 3 2 3 2 3", "5 2")
MARKERS = (
    "M0,-5.2L5.2,0L0,5.2L-5.2,0z",  # diamond
    "M0,4.8L4.6,-3.4H-4.6z",  # triangle, down
    "M-1.7,-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",  # plus
    "M-4.6,-4.6H4.6L-4.6,4.6H4.6z",  # hourglass
    "M0,-5L4.8,-1.5L2.9,4.1H-2.9L-4.8,-1.5z",  # pentagon
    "M4.8,0L-3.4,-4.6V4.6z",  # triangle, right
    "M-2.4,-4.8L0,-2.4L2.4,-4.8L4.8,-2.4L2.4,0L4.8,2.4L2.4,4.8L0,2.4L-2.4,4.8L-4.8,2.4L-2.4,0L-4.8,-2.4z",  # cross
    "M-4.8,0L3.4,-4.6V4.6z",  # triangle, left
)
COLOURS = len(MARKERS)


def looks(series: Sequence[Series]) -> list[Look]:
    """A look for each series; no two are the same up to 64 series without a role."""
    return list(_looks(series))


def _looks(series: Iterable[Series]) -> Iterable[Look]:
    place = 0
    for one in series:
        if one.role is not None:
            yield ROLES[one.role]
            continue
        form = (place + place // COLOURS) % COLOURS
        yield Look(f"s{place % COLOURS}", DASHES[form], MARKERS[form])
        place += 1


def shown(series: Sequence[Series]) -> tuple[list[Series], list[Look]]:
    """The series that have something to draw, and their looks: one that has nothing changes no other's look."""
    pairs = [(measured(one), look) for one, look in zip(series, looks(series), strict=True)]
    return [one for one, _ in pairs if one.points], [look for one, look in pairs if one.points]
