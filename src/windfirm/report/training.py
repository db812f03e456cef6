"""A training's record as a page: accuracy and, where training images were held out, robustness epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from windfirm.evaluate.intervals import wilson
from windfirm.report import frame, words
from windfirm.report import record as read
from windfirm.report.drawing import Point, Series, lines, plain
from windfirm.report.record import Record

#: What the record says of the making, and how it is called on the page.
SETTINGS = ("command", "seed", "recipe", "defence", "extras", "data", "hardware", "versions", "processes")


def page(record: Record, headline: str | None = None) -> str:
    """The whole page as text. ``record`` is what ``windfirm train`` wrote into ``record.json``."""
    return frame.render(
        "training.html.jinja",
        title=headline or title(record),
        sentences=sentences(record),
        figure=Markup(figure(record)),
        head=HEAD,
        epochs=table(record),
        settings=[(name, said) for name in SETTINGS if (said := read.text(record.get(name)))],
    )


HEAD = ("epoch", "loss", "training images, %", "held out, clean", "held out, FGSM")


def title(record: Record) -> str:
    """The command without its options."""
    return " ".join(read.text(record.get("command")).split()[:3]).removeprefix("windfirm ") or "A training"


def sentences(record: Record) -> list[str]:
    """How it ended, and what became of robustness on the way."""
    epochs = _epochs(record)
    if not epochs:
        return ["No epoch is in the record."]
    last = epochs[-1]
    loss = words.decimal(read.number(last.get("loss")), 3)
    said = f"After {words.several(len(epochs), 'epoch')} the loss is {loss}, and "
    said += f"{words.decimal(100 * read.number(last.get('accuracy')))} % of the augmented training images are right."
    held, fgsm = _held(record), _counts(record, "fgsm")
    return [said, f"{_judged(record, held, fgsm)} Test images were not opened."] if held and fgsm else [said]


def _judged(record: Record, held: int, fgsm: Mapping[int, float]) -> str:
    """What the held-out images said of the weights that were kept, and of the most robust ones."""
    keep = read.text(read.mapping(record.get("extras")).get("keep"))
    begin = f"Of {held:,} training images held out, "
    if keep in ("clean", "fgsm") and (kept := _counts(record, keep)):
        number = max(kept, key=lambda number: kept[number])
        clean = _counts(record, "clean").get(number, math.nan)
        return (
            f"{begin}{clean:,.0f} are right and {fgsm.get(number, math.nan):,.0f} under FGSM after epoch {number}, "
            "whose weights are kept."
        )
    best, last = max(fgsm, key=lambda number: fgsm[number]), max(fgsm)
    most = f"the most, {fgsm[best]:,.0f}, were after epoch {best}"
    return f"{begin}{fgsm[last]:,.0f} are right under FGSM in the end; {most}."


def _counts(record: Record, key: str) -> dict[int, float]:
    """How many held-out images were right after each epoch, by its number, as far as the record tells."""
    counts = {number: read.number(epoch.get(key)) for number, epoch in enumerate(_epochs(record), 1)}
    return {number: count for number, count in counts.items() if math.isfinite(count)}


def figure(record: Record) -> str:
    """Accuracy on held-out images, clean and under FGSM, after every epoch; empty without them."""
    held, epochs = _held(record), _epochs(record)
    if not held:
        return ""
    series = [
        Series(name, tuple(_points(epochs, key, held, name))) for key, name in (("clean", "clean"), ("fgsm", "FGSM"))
    ]
    return lines(series, x=plain("epoch"), y="accuracy, %", label=f"Accuracy on {held:,} held-out training images")


def table(record: Record) -> list[tuple[str, ...]]:
    """One line an epoch, as HEAD says."""
    return [
        (
            str(number),
            words.decimal(read.number(epoch.get("loss")), 3),
            words.decimal(100 * read.number(epoch.get("accuracy"))),
            read.text(epoch.get("clean")) or words.NONE,
            read.text(epoch.get("fgsm")) or words.NONE,
        )
        for number, epoch in enumerate(_epochs(record), 1)
    ]


def _points(epochs: Sequence[Mapping[str, object]], key: str, held: int, name: str) -> list[Point]:
    found = []
    for number, epoch in enumerate(epochs, 1):
        right = read.number(epoch.get(key))
        if 0 <= right <= held:
            share, (low, high) = right / held, wilson(right, held)
            said = f"{name}, epoch {number}: {words.decimal(100 * share)} %"
            found.append(Point(number, 100 * share, 100 * low, 100 * high, said))
    return found


def _held(record: Record) -> int:
    held = read.number(read.mapping(record.get("extras")).get("probe"))
    return int(held) if held > 0 else 0


def _epochs(record: Record) -> list[Mapping[str, object]]:
    found = record.get("epochs")
    return [read.mapping(entry) for entry in found] if isinstance(found, list) else []
