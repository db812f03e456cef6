"""The comparison as one HTML page that opens offline: no request, everything inside."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from windfirm.evaluate.compare import Comparison, Delta
from windfirm.evaluate.examples import Example
from windfirm.report import figure, frame, table, words
from windfirm.report.comparison_words import answer, doubts, rivals
from windfirm.report.drawing.look import ROLES
from windfirm.report.figure import Layer

#: Example images are at most this many pixels high and wide in the page; larger ones are reduced.
SIDE = 64
#: Example images side by side; more go into a further strip.
ABREAST = 8
#: What a difference may be multiplied by, so that one strip shares one factor and nothing is clipped.
FACTORS = (0.5, 1, 2, 5, 10, 20, 50, 100)
#: The value that stands for no difference.
GREY = 127.5

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Cell:
    """One place in a strip: an image as a data URI, a class name below it, and whether that name is right."""

    image: str = ""
    alt: str = ""
    said: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class Strip:
    """Examples of one attack side by side: labelled rows of one cell an example, and whom each example fooled."""

    attack: str
    title: str
    rows: list[tuple[str, list[Cell]]]
    fooled: list[str]


def page(
    comparison: Comparison,
    *,
    title: str,
    examples: Sequence[Example] = (),
    classes: Sequence[str] = (),
    profile: Sequence[Layer] = (),
    maps: Sequence[Strip] = (),
    provenance: Mapping[str, str] | None = None,
    cautions: Sequence[str] = (),
) -> str:
    """The whole page as text.

    ``classes`` names the labels of ``examples``. ``profile`` holds one entry for each layer or group of tied layers.
    ``maps``: strips that follow those of the examples, such as occlusion.strip makes.
    ``provenance`` says how the comparison was made, name to value: command, versions, seed, hardware, data, run time.
    ``cautions``: further reasons for doubt, which stand before those of the comparison. Every text is escaped. Raises
    InputError when F, F′ or their clean accuracy is missing.
    """
    widest = max((layer.before for layer in profile), default=0) or 1
    return frame.render(
        "page.html.jinja",
        title=title,
        sentences=answer(comparison),
        doubts=[*cautions, *doubts(comparison)],
        shown=_shown(comparison),
        columns=table.columns(comparison),
        accuracies=[row for row in table.rows(comparison) if row.kind == "accuracy"],
        differences=[(f"F′ − {v}", [_difference(d) for d in table.deltas(comparison, v)]) for v in rivals(comparison)],
        costs=table.costs(comparison),
        sureness=table.sureness(comparison),
        sureness_head=table.SURENESS,
        curve=Markup(figure.curve(comparison)),
        curve_title=figure.curve_title(comparison),
        sweeps=[(name, Markup(drawn), said) for name, drawn, said in figure.sweeps(comparison)],
        strips=[*strips(examples, classes, dict(table.methods(comparison))), *maps],
        profile=[Markup(figure.profile(part, widest)) for part in _halves(profile)],
        methods=table.methods(comparison),
        provenance=dict(provenance or {}),
    )


def _shown(comparison: Comparison) -> str:
    """Who was measured, on what."""
    who = [f"{words.prime(network.role)} is {network.name}" for network in comparison.subjects]
    return f"{'; '.join(who)}. All on the same {comparison.images:,} images of {comparison.data}."


def _difference(delta: Delta) -> dict[str, str | bool]:
    """One cell of the table, line by line."""
    known = words.probability(delta.p) != words.NONE
    return {
        "points": words.poster(delta.points),
        "strong": delta.verdict != "none shown",
        "verdict": words.verdict(delta),
        "interval": words.interval(delta.low, delta.high),
        "bootstrap": words.interval(delta.boot_low, delta.boot_high),
        "p": words.p_phrase(delta.p) if known else "",
        "adjusted": words.p_phrase(delta.adjusted) if known else "",
        "smallest": words.decimal(delta.smallest),
    }


def _halves(layers: Sequence[Layer]) -> list[Sequence[Layer]]:
    """Two columns for a long profile, one for a short one."""
    middle = (len(layers) + 1) // 2 if len(layers) > 12 else len(layers)
    return [part for part in (layers[:middle], layers[middle:]) if part]


def strips(examples: Sequence[Example], classes: Sequence[str], titles: Mapping[str, str]) -> list[Strip]:
    """``examples`` side by side, a few abreast; ``titles`` says what the attacks are."""
    titles = dict(titles)
    made = []
    for attack in dict.fromkeys(example.attack for example in examples):
        chosen = [example for example in examples if example.attack == attack]
        for start in range(0, len(chosen), ABREAST):
            abreast = chosen[start : start + ABREAST]
            rows = _rows(abreast, _factor(chosen), classes)
            made.append(Strip(attack, titles.get(attack, ""), rows, [_fooled(example) for example in abreast]))
            titles[attack] = "continued"
    return made


def _rows(examples: Sequence[Example], factor: float, classes: Sequence[str]) -> list[tuple[str, list[Cell]]]:
    """A strip's rows. An attack that every network met with the same images shows them once, else for each network."""

    def name(label: int) -> str:
        return classes[label] if 0 <= label < len(classes) else f"class {label}"

    def said(example: Example, role: str) -> Cell:
        predicted = example.views[role].predicted
        return Cell(said=name(predicted), right=predicted == example.label)

    def images(role: str, label: str, *, verdict: bool) -> list[tuple[str, list[Cell]]]:
        views = [(example, example.views[role].image, name(example.label)) for example in examples]
        attacked = [
            replace(said(e, role) if verdict else Cell(), image=uri(view), alt=f"{truth}, attacked")
            for e, view, truth in views
        ]
        changed = [Cell(uri(_amplified(e.image, view, factor)), f"{truth}, what changed") for e, view, truth in views]
        return [(label, attacked), (f"difference × {factor:g}", changed)]

    rows = [("clean", [Cell(uri(e.image), f"{name(e.label)}, unchanged", name(e.label)) for e in examples])]
    roles = [role for role in ROLES if all(role in example.views for example in examples)]
    if all(np.array_equal(e.views[role].image, e.views[roles[0]].image) for e in examples for role in roles):
        rows += images(roles[0], "attacked", verdict=False)
        return rows + [(f"{words.prime(role)} says", [said(e, role) for e in examples]) for role in roles]
    for role in roles:
        rows += images(role, f"attacked on {words.prime(role)}", verdict=True)
    return rows


def _fooled(example: Example) -> str:
    """The networks that got the attacked image wrong, as their roles side by side."""
    return " ".join(role for role, view in example.views.items() if view.predicted != example.label)


def _factor(examples: Sequence[Example]) -> float:
    """The largest factor that clips no difference of any of these examples, out of FACTORS."""
    pairs = [(view.image.astype(int), e.image.astype(int)) for e in examples for view in e.views.values()]
    largest = max((int(np.abs(a - b).max()) for a, b in pairs), default=0)
    return max((factor for factor in FACTORS if factor * largest <= GREY), default=FACTORS[0])


def _amplified(clean: Pixels, attacked: Pixels, factor: float) -> Pixels:
    """Middle grey where nothing changed, brighter where a value rose, darker where it fell."""
    difference = (attacked.astype(np.float64) - clean) * factor
    return np.clip(np.rint(GREY + difference), 0, 255).astype(np.uint8)


def uri(pixels: Pixels) -> str:
    """``pixels`` (h, w, c) uint8 as a PNG data URI: of other than three channels the first, or the first three."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] < 3 else pixels[..., :3])
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
