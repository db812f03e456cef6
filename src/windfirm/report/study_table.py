"""A study's tables: in the poster's form as Markdown and LaTeX, and one record a number for other programs."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from windfirm.evaluate.compare import Versus
from windfirm.report import words
from windfirm.report.drawing.look import ROLES
from windfirm.report.line import Gain, Line, Share
from windfirm.report.markup import md, piped, tex
from windfirm.report.summary import Summary

#: Of every number in records: further ones are not the same on every processor.
DIGITS = 10


def groups(summary: Summary) -> list[list[Line]]:
    """Lines that are looked at together: in the poster's first table those of one architecture."""
    found: dict[str, list[Line]] = {}
    for line in summary.lines:
        found.setdefault(line.row.partition("/")[0] if "/" in line.row else "", []).append(line)
    return [*found.values()]


def best(summary: Summary, versus: Versus) -> set[tuple[str, str]]:
    """The largest gains, as printed, of every column of every group, as (label of the line, column).

    Several where they are alike; none where all are, as where one stands alone.
    """
    found = set()
    for lines in groups(summary):
        for column in summary.columns:
            known = [line for line in lines if column in line.gains[versus]]
            shown = {line.label: round(line.gains[versus][column].delta.points, 2) for line in known}
            largest = {label for label, points in shown.items() if points == max(shown.values())}
            if len(largest) < len(shown):
                found |= {(label, column) for label in largest}
    return found


class Agreement(NamedTuple):
    """How the poster's numbers fare: ``measured``, the ``same`` sign, ``shown`` to be so beyond chance, or to be the
    ``other``, and how many lie ``within`` the interval of their counterpart.
    """

    measured: int
    same: int
    shown: int
    other: int
    within: int


def agreement(summary: Summary) -> Agreement:
    """Of the poster's numbers that have a counterpart."""
    told = [gain for line in summary.lines for gain in line.gains.get("F", {}).values() if gain.published is not None]
    shown = [bool(gain.agrees) for gain in told if gain.delta.verdict != "none shown"]
    within = [gain for gain in told if gain.delta.low <= (gain.published or 0.0) <= gain.delta.high]
    return Agreement(len(told), sum(bool(g.agrees) for g in told), shown.count(True), shown.count(False), len(within))


def missing(summary: Summary) -> list[tuple[str, str]]:
    """The poster's places that this study has no number for, as (row, column) in words."""
    if summary.form is None:
        return []
    gains = [(line.row, column, gain) for line in summary.lines for column, gain in line.gains.get("F", {}).items()]
    have = {(row, column) for row, column, gain in gains if gain.published is not None}
    return [(summary.form.label(row), column) for row, column in summary.form.published if (row, column) not in have]


def markdown(summary: Summary) -> str:
    """Accuracies, then F′ − F and F′ − control, each with interval and p-value. Ends with a line break."""
    head = [md(column + summary.sizes(column)) for column in summary.columns]
    parts = [piped(["accuracy, %", *head], _accuracies(summary))]
    for versus in summary.versus():
        strong = best(summary, versus)
        rows = []
        for line in summary.lines:
            if not line.gains[versus]:
                continue
            cells = [md(line.label)]
            for column in summary.columns:
                gain = line.gains[versus].get(column)
                cells.append(_told(gain, (line.label, column) in strong) if gain else "")
            rows.append([*cells, change(line)])
        parts.append(piped([f"F′ − {versus}", *head, "MACs"], rows))
    return "\n".join([*parts, f"{md(reading(summary))}\n"])


def reading(summary: Summary) -> str:
    """How the tables of differences are to be read."""
    by = ", by architecture" if len(groups(summary)) > 1 else ""
    alone = " A network that is not cut has F as its control." if summary.whole else ""
    return (
        f"Percentage points, with 95 % intervals. Bold: the largest of its column{by}. Starred: beyond chance at the "
        "5 % level after Holm’s correction for all tests of the table, and the interval leaves out zero; a loss of "
        f"clean accuracy is admitted without the correction. An empty place was not measured.{alone}"
    )


def change(line: Line) -> str:
    """The MACs of F' beside those of F, in percent."""
    return words.change(line.macs.get("F", math.nan), line.macs.get("F'", math.nan))


def latex(summary: Summary) -> str:
    """One ``table*`` for each comparison, for a document that loads booktabs. Ends with a line break."""
    parts = []
    for versus in summary.versus():
        strong = best(summary, versus)
        head = " & ".join(map(tex, (summary.head, *summary.columns)))
        body = []
        for number, lines in enumerate(groups(summary)):
            body += [r"\midrule"] if number else []
            for line in lines:
                gains = [line.gains[versus].get(column) for column in summary.columns]
                top = [
                    _tex_points(gain, (line.label, c) in strong) for gain, c in zip(gains, summary.columns, strict=True)
                ]
                ends = [_tex_interval(gain) for gain in gains]
                body.append(" & ".join([tex(line.label), *top]) + r" \\")
                body.append(" & ".join(["", *ends]) + r" \\[2pt]")
        caption = f"{summary.title}: F′ − {versus} in percentage points"
        lines_ = [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{tex(caption)}. {tex(_caption(summary))}}}",
            rf"\begin{{tabular}}{{l{'r' * len(summary.columns)}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
        parts.append("\n".join(lines_) + "\n")
    return "\n".join(parts)


def records(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """One for each comparison in each place of the tables; a number that is not there is None."""
    made = []
    for summary in summaries:
        for line in summary.lines:
            for versus, gains in line.gains.items():
                for column, gain in gains.items():
                    values = {
                        name: _rounded(value) for name, value in vars(gain.delta).items() if isinstance(value, float)
                    }
                    shares = {who: _rounded(_percent(line, who, column, gain)) for who in ("F'", versus)}
                    made.append(
                        {
                            "study": summary.study,
                            "scale": summary.run.scale or None,
                            "changes": summary.run.changes or None,
                            "line": line.label,
                            "point": dict(line.point),
                            "column": column,
                            "versus": versus,
                            "accuracy": shares["F'"],
                            "accuracy_versus": shares[versus],
                            **{name: values[name] for name in ("points", "low", "high", "p", "adjusted", "smallest")},
                            "verdict": gain.delta.verdict,
                            "seeds": {str(seed): _rounded(points) for seed, points in gain.each.items()},
                            "spread": _rounded(gain.spread),
                            "macs_left": _rounded(line.left),
                            "published": gain.published,
                            "sign_agrees": gain.agrees,
                        }
                    )
    return made


def _percent(line: Line, role: str, column: str, gain: Gain) -> float:
    """The accuracy of a network over the seeds that the gain is of, so that two of them differ by it."""
    return 100 * sum(line.outcomes[role][seed][column].accuracy for seed in gain.each) / len(gain.each)


def tidy_csv(summaries: Sequence[Summary]) -> str:
    """The records as CSV, without the points of the single seeds."""
    made = [
        {**entry, **{f"point.{k}": v for k, v in entry["point"].items()}, "seeds": len(entry["seeds"])}
        for entry in records(summaries)
    ]
    names = dict.fromkeys(name for entry in made for name in entry if name != "point")
    file = io.StringIO()
    out = csv.DictWriter(file, [*names], extrasaction="ignore", lineterminator="\n")
    out.writeheader()
    out.writerows(made)
    return file.getvalue()


def accuracies(summary: Summary) -> list[tuple[str, Mapping[str, Share]]]:
    """Every network with its shares by column; one that several lines have in common stands before them, once."""
    rows = []
    for lines in groups(summary):
        several = lines[0].label.partition(", ")[0] if len(groups(summary)) > 1 else ""
        shared = [
            role for role in ("F", "control") if len(lines) > 1 and _alike([line.shares.get(role) for line in lines])
        ]
        rows += [(", ".join(filter(None, (several, role))), lines[0].shares[role]) for role in shared]
        for line in lines:
            own = [role for role in ROLES if role in line.shares and role not in shared]
            rows += [(f"{line.label}: {words.prime(role)}", line.shares[role]) for role in own]
    return rows


def _alike(shares: Sequence[Mapping[str, Share] | None]) -> bool:
    return shares[0] is not None and all(one == shares[0] for one in shares)


def _accuracies(summary: Summary) -> list[list[str]]:
    return [
        [md(label), *(words.decimal(shares[c].percent) if c in shares else "" for c in summary.columns)]
        for label, shares in accuracies(summary)
    ]


def _told(gain: Gain, strong: bool) -> str:
    points = words.poster(gain.delta.points)
    ends = words.interval(gain.delta.low, gain.delta.high)
    star = r"\*" if gain.delta.verdict != "none shown" else ""
    said = f"{f'**{points}**' if strong else points}{star} [{ends}], {words.p_phrases(gain.delta)}"
    return said if gain.published is None else f"{said}; poster {words.poster(gain.published)}"


def _tex_points(gain: Gain | None, strong: bool) -> str:
    if gain is None:
        return ""
    text = tex(words.poster(gain.delta.points))
    text = rf"\textbf{{{text}}}" if strong else text
    return text + ("$^{*}$" if gain.delta.verdict != "none shown" else "")


def _tex_interval(gain: Gain | None) -> str:
    if gain is None:
        return ""
    ends = f"[{words.interval(gain.delta.low, gain.delta.high)}]"
    return rf"{{\scriptsize {tex(ends)}}}"


def _caption(summary: Summary) -> str:
    images = words.listing([f"{count:,}" for count in summary.images])
    seeds = words.several(len(summary.seeds), "seed")
    return (
        f"{images} images, {seeds}. Below each mean its 95 % interval; bold: the largest of its column; starred: "
        f"beyond chance at the 5 % level after Holm's correction for {summary.tests} tests, or a loss on clean images "
        f"without it"
    )


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
