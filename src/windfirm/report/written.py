"""The files of a study's report beside the page: one text with tables and figures, LaTeX, CSV, JSON, drawings."""

import json
from collections.abc import Callable, Mapping, Sequence

from windfirm.report import study_figures, study_table, study_words
from windfirm.report.frame import drawing
from windfirm.report.markup import code, md, piped
from windfirm.report.overview import HEAD, NOTE, overview
from windfirm.report.study import about
from windfirm.report.summary import Summary

#: What is to be typed, or copied, letter by letter.
COMMANDS = ("run again", "tables again")

TEX = "% Tables for a document with \\usepackage{booktabs}.\n"


def written(
    summaries: Sequence[Summary],
    *,
    title: str,
    provenance: Mapping[str, str],
    answer: Callable[[Summary], Sequence[str]] = study_words.answer,
    doubts: Callable[[Summary], Sequence[str]] = study_words.doubts,
) -> dict[str, str]:
    """Text by file name. ``report.md`` shows the drawings, which are files beside it.

    ``answer`` and ``doubts``: the sentences over the tables, and the warnings below them.
    """
    drawings: dict[str, str] = {}
    parts = [f"# {md(title)}\n"]
    if lines := overview(summaries):
        parts.append(piped(HEAD, [[*map(md, line)] for line in lines]) + f"\n{md(NOTE)}\n")
    names = _file_names([summary.name for summary in summaries])
    for summary, file in zip(summaries, names, strict=True):
        parts.append(f"## {md(summary.title)}\n" if summary.title != title else "")
        parts.append("\n\n".join(map(md, answer(summary))) + "\n")
        parts += ["\n".join(f"> {md(line)}" for line in doubts(summary)) + "\n"]
        parts.append(study_table.markdown(summary))
        for number, figure in enumerate(study_figures.figures(summary), 1):
            name = f"{file}-{number}.svg"
            drawings[name] = drawing(figure.svg)
            parts.append(f"![{md(figure.title)}]({name})\n\n{md(figure.title)}. {md(figure.note)}\n")
        parts.append(_listed(about(summary)))
    parts.append(_listed([*provenance.items()]))
    return {
        "report.md": "\n".join(part for part in parts if part.strip()),
        "tables.tex": TEX + "\n".join(map(study_table.latex, summaries)),
        "tables.csv": study_table.tidy_csv(summaries),
        "tables.json": json.dumps(study_table.records(summaries), indent=1, ensure_ascii=False) + "\n",
        **drawings,
    }


def _listed(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(f"- {md(name)}: {code(text) if name in COMMANDS else md(text)}\n" for name, text in rows)


def _file_names(studies: Sequence[str]) -> list[str]:
    """What files of each study begin with; with a number where two would begin alike."""
    plain = ["".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "-" for c in study) for study in studies]
    return [f"{name}-{i}" if plain.count(name) > 1 else name for i, name in enumerate(plain, 1)]
