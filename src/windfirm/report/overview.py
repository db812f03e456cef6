"""Several studies at a glance: a line for each, in the order of the report."""

from collections.abc import Sequence

from windfirm.evaluate.compare import CLEAN, Versus
from windfirm.report import words
from windfirm.report.study_questions import attacked, verdicts
from windfirm.report.study_table import agreement
from windfirm.report.summary import Summary
from windfirm.study.find import subject

THAN = "more / less robust than"
HEAD = ("study", f"{THAN} the control", f"{THAN} F", "clean, F′ − F", "poster’s signs", "seeds", "images")

NOTE = (
    "More / less robust: in how many cases under attack a pruned F′ is so beyond chance. Clean: from the least to the "
    "largest difference, in points. Poster’s signs: how many of its numbers have the same sign here. Images: the most "
    "under one attack."
)


def overview(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """A place for each of HEAD, empty where there is nothing to say; no line where one study speaks for itself."""
    return [_line(summary) for summary in summaries] if len(summaries) > 1 else []


def told(summaries: Sequence[Summary]) -> list[str]:
    """How F' fares beside the control, a line for each of several studies."""
    return [
        f"{study}: {f'{HEAD[1]} in {ways} cases' if ways else 'no control'}" for study, ways, *_ in overview(summaries)
    ]


def _line(summary: Summary) -> tuple[str, ...]:
    poster = agreement(summary)
    about = subject(summary.study)
    return (
        summary.name if about == summary.study else f"{summary.name}: {about}",
        _ways(summary, "control"),
        _ways(summary, "F"),
        _clean(summary),
        f"{poster.same:,} of {poster.measured:,}" if poster.measured else "",
        f"{len(summary.seeds):,}",
        f"{max(summary.images):,}",
    )


def _ways(summary: Summary, versus: Versus) -> str:
    more, less, of = verdicts(summary.distinct, versus, attacked(summary))
    return f"{more:,} / {less:,} of {of:,}" if of else ""


def _clean(summary: Summary) -> str:
    found = [gain for column in CLEAN for _, gain in summary.gains("F", column)]
    points = sorted(gain.delta.points for gain in found)
    return " to ".join(dict.fromkeys(words.signed(end) for end in (points[0], points[-1]))) if points else ""
