"""The three questions that a reader of a table has, answered by its own numbers."""

from collections.abc import Sequence
from typing import get_args

from windfirm.attack.budget import MEANS
from windfirm.evaluate.compare import CLEAN, Versus
from windfirm.report import words
from windfirm.report.line import Line
from windfirm.report.study_figures import amounts
from windfirm.report.summary import Summary

#: Columns, and kinds of lines, that are told of in a sentence.
MEANT, KINDS = 6, 4
#: Percent of the MACs that count as something removed.
LEAST = 0.5


def questions(summary: Summary) -> list[str]:
    """Is it the cut or the training after it? Does it survive a stronger attack? Does it grow with what is removed?"""
    return [sentence for sentence in (_cause(summary), _stronger(summary), *_growth(summary)) if sentence]


def attacked(summary: Summary) -> list[str]:
    """The columns that are attacks on the network itself, without means of several."""
    return [c for c in summary.columns if c not in (*CLEAN, *MEANS) and " from " not in c]


def verdicts(lines: Sequence[Line], versus: Versus, columns: Sequence[str]) -> tuple[int, int, int]:
    """In how many cases F′ is beyond chance more robust, in how many less, and of how many."""
    known = [line.gains.get(versus, {}) for line in lines]
    found = [gains[column].delta.verdict for gains in known for column in columns if column in gains]
    return found.count("more"), found.count("less"), len(found)


def _cause(summary: Summary) -> str:
    """F′ − F is F′ − control and control − F, place by place and seed by seed, so that their means add up as well."""
    if "control" not in summary.versus():
        return ""
    places = [place for column in attacked(summary) for place in summary.places(column) if "F" in place]
    if not places:
        return ""
    whole, cut = (sum(place[versus] for place in places) / len(places) for versus in get_args(Versus))
    return (
        f"Is it the cut, or the training after it? On average over the attacks, each counted alike, F′ − F is "
        f"{words.signed(whole)} points: control − F, the training alone, is {words.signed(whole - cut)}, and F′ − "
        f"control {words.signed(cut)}."
    )


def _stronger(summary: Summary) -> str:
    versus = summary.rival
    columns = [column for column in attacked(summary) if summary.gains(versus, column)]
    single, strong = ([c for c in columns if c.startswith(start)] for start in ("fgsm", words.ITERATIVE))
    if not single or not strong:
        return ""
    more, less, of = verdicts(summary.distinct, versus, strong)
    return (
        f"Does it survive an attack of many steps? F′ − {versus} is, in points, {_means(summary, single)}, a single "
        f"step; {_means(summary, strong)}. Under many steps, F′ is beyond chance more robust in {more:,} and less in "
        f"{less:,} of {of:,} cases."
    )


def _means(summary: Summary, columns: Sequence[str]) -> str:
    means = [(column, summary.mean_gain(summary.rival, column)) for column in columns[:MEANT]]
    known = [(f"{column}{summary.sizes(column)}", mean) for column, mean in means if mean is not None]
    return words.listing([f"{words.signed(mean)} under {column}" for column, mean in known])


def _growth(summary: Summary) -> list[str]:
    """From the least to the most that was removed, for each kind of cut of which there are several amounts."""
    question = "Does it grow with what is removed?"
    if not attacked(summary) or not summary.versus():
        return []
    if kinds := [*amounts(summary).items()][:KINDS]:
        sentences = [sentence for kind, lines in kinds if (sentence := _ends(summary, kind, lines))]
        return [f"{question} {sentences[0]}", *sentences[1:]] if sentences else []
    removed = sorted(share for line in summary.lines if (share := 100 * (1 - line.left)) >= LEAST)
    if not removed:
        return []
    low, high = (f"{share:.0f}" for share in (removed[0], removed[-1]))
    how = low if low == high else f"{low} to {high}"
    made = "no kind of cut was made in three amounts" if amounts(summary, 2) else "each kind of cut was made once"
    return [f"{question} These rows cannot say: {made}, of {how} % of the MACs."]


def _ends(summary: Summary, kind: str, lines: Sequence[Line]) -> str:
    versus = summary.rival
    known = [line for line in lines if line.gains[versus]]
    if len({line.left for line in known}) < 2:
        return ""
    least, most = (pick(known, key=lambda line: 1 - line.left) for pick in (min, max))
    said = [
        f"{column} {words.signed(least.gains[versus][column].delta.points)} to "
        f"{words.signed(most.gains[versus][column].delta.points)}"
        for column in [*attacked(summary)[:MEANT], "clean"]
        if column in least.gains[versus] and column in most.gains[versus]
    ]
    ends = f"{100 * (1 - least.left):.0f} % to {100 * (1 - most.left):.0f} % of the MACs"
    return f"For {kind}, from {ends} removed: F′ − {versus} goes, in points, {'; '.join(said)}." if said else ""
