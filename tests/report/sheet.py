"""Every figure on one page, with numbers that a formula gives: what the tests open in a browser, and people look at.

``python -m tests.report.sheet FILE`` writes it.
"""

import math
import sys
from pathlib import Path

from jinja2 import DictLoader, Environment

from windfirm.evaluate.compare import Role
from windfirm.report import drawing, frame
from windfirm.report.drawing import EPS, Point, Series, plain

CRITERIA = ("l1", "expected-abs", "hrank", "kl-divergence", "pls", "taylor, both", "random", "bn-scale")
CORRUPTIONS = (
    *("gaussian noise", "shot noise", "impulse noise", "speckle noise", "defocus blur", "glass blur", "motion blur"),
    *("zoom blur", "gaussian blur", "snow", "frost", "fog", "brightness", "contrast", "saturate", "spatter"),
    *("elastic transform", "pixelate", "jpeg compression"),
)
NETWORKS: tuple[tuple[str, Role], ...] = (("F", "F"), ("control", "control"), ("F′", "F'"))


def point(name: str, x: float, y: float, half: float = 1.2, size: float = math.nan) -> Point:
    return Point(x, y, y - half, y + half, f"{name} at {x:.3g}: {y:.2f} ± {half:g}", size)


def figures(name: str = "{}") -> dict[str, str]:
    """Title to figure. ``name`` is what every name becomes, where braces stand for the name."""
    networks = [
        Series(
            name.format(title),
            tuple(point(title, e / 255, 92 * math.exp(-e / (4 + i)) + i, 1 + i / 2) for e in (0, 0.5, 1, 2, 4, 8)),
            role,
        )
        for i, (title, role) in enumerate(NETWORKS)
    ]
    deltas = [
        Series(
            name.format(title),
            tuple(point(title, 11.3 * step, 2 * math.sin(step + i) - 0.3 * i * step, 0.5) for step in range(1, 8)),
        )
        for i, title in enumerate(CRITERIA)
    ]
    epochs = [
        Series(
            name.format(title),
            tuple(point(title, e, 20 + 8 * i + 12 * (1 - math.exp(-e / 9))) for e in range(41)),
            role,
        )
        for i, (title, role) in enumerate(NETWORKS)
    ]
    corrupted = [
        Series(
            name.format(title),
            tuple(point(title, j, 60 + 25 * math.sin(1.7 * j) + 3 * i, 2) for j, _ in enumerate(CORRUPTIONS)),
            role,
        )
        for i, (title, role) in enumerate(NETWORKS)
    ]
    models = [name.format(title) for title in ("F", "control", "F′", "F′ by hrank", "F′ by layers")]
    matrix = [[math.nan if i == j == 4 else 17.5 * ((i + 1) * (j + 2) % 6) for j in range(5)] for i in range(5)]
    said = [[name.format(f"from {a} to {b}") for b in models] for a in models]
    sizes = [
        Series(name.format(title), (point(title, 93 - 1.3 * i, 20 + 9 * math.sin(2 * i), 1.5, 125 - 14 * i),))
        for i, title in enumerate(CRITERIA)
    ]
    label = name.format("label")
    macs = plain(name.format("MACs removed, %"))
    return {
        "Robustness against eps": drawing.lines(networks, x=EPS, y="accuracy, %", label=label),
        "Delta against MACs removed": drawing.lines(
            deltas, x=macs, y="F′ − F, points", label=label, zero=True, band=False
        ),
        "Robustness while fine-tuning": drawing.lines(epochs, x=plain("epoch"), y="accuracy, %", label=label),
        "Corruptions": drawing.bars([name.format(title) for title in CORRUPTIONS], corrupted, label=label),
        "Differences under corruptions": drawing.bars(
            [name.format(title) for title in CORRUPTIONS[:5]],
            [Series(name.format("F′ − F"), tuple(point("F′ − F", j, 2 * math.sin(j), 0.8) for j in range(5)))],
            label=label,
            y="points",
            zero=True,
        ),
        "Transfer": drawing.heat(
            models, models, matrix, label=label, said=said, sides=(name.format("made on"), name.format("shown to"))
        ),
        "Transfer, short names": drawing.heat(
            ["F", "F′"], ["F", "F′"], [[88.3, -20], [44.25, 0]], label=label, said=[["a", "b"], ["c", "d"]]
        ),
        "Trade-off": drawing.scatter(
            sizes, x=plain("clean accuracy, %"), y="under PGD, %", label=label, area="multiply-adds"
        ),
    }


TEMPLATE = """{% extends "frame" %}{% block body %}<h1>{{ title }}</h1>
{% for title, figure in figures.items() %}<section><h2>{{ title }}</h2>
<figure><div class="scroll" tabindex="0" role="region" aria-label="{{ title }}">{{ figure | safe }}</div></figure>
</section>
{% endfor %}{% endblock %}"""


def sheet() -> str:
    """The page, in the frame that all pages share."""
    source = frame._resource("frame.html.jinja")
    environment = Environment(loader=DictLoader({"frame": source, "sheet": TEMPLATE}), autoescape=True)
    css, script = "".join(map(frame._resource, frame.STYLES)), frame._resource("page.js")
    return (
        environment.get_template("sheet")
        .render(title="Figures", figures=figures(), css="@CSS", script="@SCRIPT", digest=frame.digest(script))
        .replace("@CSS", css)
        .replace("@SCRIPT", script)
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(sheet(), encoding="utf-8")
