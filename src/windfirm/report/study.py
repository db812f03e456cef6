"""Studies as one HTML page that opens offline: the answer, the tables, figures, pictures, how to do it again."""

import json
import shlex
from collections.abc import Mapping, Sequence, Set
from typing import Any

from markupsafe import Markup

from windfirm.errors import InputError
from windfirm.evaluate.compare import AVERAGED
from windfirm.report import frame, study_figures, study_table, study_words, words
from windfirm.report.line import Gain, Line
from windfirm.report.overview import HEAD, NOTE, overview
from windfirm.report.page import Strip
from windfirm.report.summary import Summary
from windfirm.study.find import builtin, inside
from windfirm.study.listing import Run
from windfirm.study.plan import read
from windfirm.study.settings import SETTINGS

#: Lines of a table that a page shows at once; a longer one is opened by whoever wants it, and figures come first.
LONG = 12

#: Settings that are told even where they are the defaults.
TOLD = ("adjust.name", "data.name", "prune.criterion", "prune.rounds")


def page(
    summaries: Sequence[Summary],
    *,
    title: str,
    pictures: Mapping[Run, tuple[str, Sequence[Strip]]] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """The whole page as text. Every text is escaped.

    ``pictures``: by what they are of, a sentence on what is seen, and strips of attacked images.
    ``provenance``: what else is to be said of how it was made.
    """
    return frame.render(
        "study.html.jinja",
        styles=("study.css",),
        title=title,
        overview=overview(summaries),
        overview_head=HEAD,
        overview_note=NOTE,
        studies=[_study(summary, *(pictures or {}).get(summary.run, ("", ()))) for summary in summaries],
        provenance=dict(provenance or {}),
    )


def about(summary: Summary) -> list[tuple[str, str]]:
    """How a study was made: attacks, data, scale, hardware, versions as its rows say, several where they differ."""
    names = {"digest": "SHA-256 of the images"}
    rows = [*summary.attacks, *_means(summary)]
    rows += [(names.get(key, key), "; ".join(values)) for key, values in summary.about.items() if values]
    rows += [("settings", _settings(summary.settings))] if summary.settings else []
    rows += [("time", summary.time)] if summary.time else []
    seeds = ("seeds", ", ".join(map(str, summary.seeds)))
    if not summary.about.get("versions"):  # of no study that was run
        return [*rows, seeds]
    if summary.study not in builtin() or not summary.run.scale:  # nobody knows here where its file is
        return [*rows, seeds]
    made = shlex.split(summary.run.changes)
    try:
        plan = read(inside(summary.study), scale=summary.run.scale, changes=made)
    except InputError:  # a scale that the file no longer has
        return [*rows, seeds]
    if not all(any(line.point == point.axes for point in plan.points) for line in summary.lines):
        return [*rows, seeds]  # a file of the user's own under that name
    usual = plan.seeds
    run = ["windfirm", "run", summary.study, "--scale", summary.run.scale]
    if summary.seeds != usual:
        one = len(summary.seeds) == 1
        run += ["--seed", str(summary.seeds[0])] if one else ["--set", f"seeds={list(summary.seeds)}".replace(" ", "")]
    run += [part for change in made for part in ("--set", change)]
    return [*rows, seeds, ("run again", shlex.join(run))]


def _settings(found: Mapping[str, Any]) -> str:
    """What was set otherwise than by default, and what a reader asks for first."""
    told = {
        name: value
        for name, value in found.items()
        if name in TOLD or name not in SETTINGS or value != SETTINGS[name].default
    }
    said = [f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in told.items()]
    return f"{', '.join(said)}; all else by default"


def _means(summary: Summary) -> list[tuple[str, str]]:
    """What the columns that are means of others are made of: those of the poster's table, and else its average."""
    known = summary.form.columns if summary.form else {"average": AVERAGED}
    of = {column: known.get(column, ()) for column in summary.columns}
    return [
        (column, f"mean of {words.listing(parts)}" if len(parts) > 1 else parts[0])
        for column, parts in of.items()
        if parts
    ]


def _study(summary: Summary, pictured: str, strips: Sequence[Strip]) -> dict[str, object]:
    best = study_table.best(summary, "F")
    return {
        "name": summary.name,
        "title": summary.title,
        "sentences": study_words.answer(summary),
        "doubts": study_words.doubts(summary),
        "head": summary.head,
        "columns": [(column, summary.sizes(column)) for column in summary.columns],
        "reading": study_table.reading(summary),
        "legend": _legend(summary),
        "long": len(summary.lines) > LONG and summary.form is None,
        "groups": [[_row(summary, line, best) for line in lines] for lines in study_table.groups(summary)],
        "accuracies": _accuracies(summary),
        "missing": study_table.missing(summary),
        "figures": [(figure.title, figure.note, Markup(figure.svg)) for figure in study_figures.figures(summary)],
        "pictured": pictured,
        "strips": strips,
        "about": about(summary),
        "form": summary.form is not None,
    }


def _legend(summary: Summary) -> list[str]:
    """What the small lines of a place say, in their order."""
    lines = ["95 % interval", "paired p, Holm"]
    lines += ["F′ − control", "95 % interval"] if "control" in summary.versus() else []
    return lines + (["the poster’s"] if summary.form else [])


def _row(summary: Summary, line: Line, best: Set[tuple[str, str]]) -> dict[str, object]:
    cells = []
    for column in summary.columns:
        gain, beside = (line.gains.get(v, {}).get(column) for v in ("F", "control"))
        cells.append(_cell(gain, beside, (line.label, column) in best))
    change = study_table.change(line)
    return {"label": line.label, "cells": cells, "macs": change, "macs_value": f"{100 * (line.left - 1):.6g}"}


def _cell(gain: Gain | None, beside: Gain | None, best: bool) -> dict[str, object] | None:
    if gain is None and beside is None:
        return None
    return {
        "value": f"{gain.delta.points:.6g}" if gain else "",
        "points": words.poster(gain.delta.points) if gain else "",
        "best": best,
        "shown": gain is not None and gain.delta.verdict != "none shown",
        "interval": words.interval(gain.delta.low, gain.delta.high) if gain else "",
        "p": words.p_phrase(gain.delta.adjusted) if gain else "",
        "control": words.poster(beside.delta.points) if beside else "",
        "control_shown": beside is not None and beside.delta.verdict != "none shown",
        "control_interval": words.interval(beside.delta.low, beside.delta.high) if beside else "",
        "published": "" if gain is None or gain.published is None else words.poster(gain.published),
        "agrees": gain is not None and gain.agrees,
        "each": ", ".join(f"seed {s}: {words.signed(points)}" for s, points in gain.each.items()) if gain else "",
    }


def _accuracies(summary: Summary) -> list[tuple[str, list[tuple[str, str]]]]:
    """Accuracy in percent of every network, with its interval."""
    rows = []
    for label, shares in study_table.accuracies(summary):
        known = [shares.get(column) for column in summary.columns]
        cells = [
            (words.decimal(s.percent), f"{words.decimal(s.low)} to {words.decimal(s.high)}") if s else ("", "")
            for s in known
        ]
        rows.append((label, cells))
    return rows
