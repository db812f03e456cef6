"""The tables of a single run, of pruning or of training, as Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from windfirm.report import pruning, training, words
from windfirm.report import record as read
from windfirm.report.markup import md, piped, tex
from windfirm.report.record import Record


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, and lines of as many cells."""

    title: str
    head: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


def of_training(record: Record) -> list[Table]:
    """The epochs."""
    return [Table("Epochs", training.HEAD, lines)] if (lines := training.table(record)) else []


def of_pruning(record: Record) -> list[Table]:
    """Costs, layers and rounds, as far as the record has them."""
    layers = [(layer.name, kind, str(layer.before), str(layer.after)) for layer, kind in read.layers(record)]
    rounds = [
        (
            str(entry.number),
            str(entry.filters),
            str(len(entry.blocks)),
            words.quantity(entry.before),
            words.quantity(entry.after),
        )
        for entry in read.rounds(record)
    ]
    made = [
        Table("Cost", ("one image", "before", "after", "change"), pruning.costs(record)),
        Table("Layers", ("layer", "kind", "before", "after"), layers),
        Table("Rounds", ("round", "filters", "blocks", "MACs before", "MACs after"), rounds),
    ]
    return [table for table in made if table.lines]


def written(sentences: Sequence[str], found: Sequence[Table]) -> dict[str, str]:
    """Text by file name."""
    said = "\n\n".join(map(md, sentences))
    return {
        "report.md": f"{said}\n\n" + "\n".join(map(_markdown, found)),
        "tables.tex": "\n".join(map(_latex, found)),
        "tables.csv": _csv(found),
        "tables.json": json.dumps(
            {t.title: [dict(zip(t.head, line, strict=True)) for line in t.lines] for t in found}, indent=1
        )
        + "\n",
    }


def _markdown(table: Table) -> str:
    return f"### {table.title}\n\n" + piped([*map(md, table.head)], (map(md, line) for line in table.lines))


def _latex(table: Table) -> str:
    rows = [" & ".join(map(tex, line)) + r" \\" for line in table.lines]
    body = [" & ".join(map(tex, table.head)) + r" \\", r"\midrule", *rows]
    columns = "l" + "r" * (len(table.head) - 1)
    return (
        "\n".join(
            [
                "% Needs \\usepackage{booktabs}.",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
        + "\n"
    )


def _csv(found: Sequence[Table]) -> str:
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    for table in found:
        out.writerow(("table", *table.head))
        out.writerows((table.title, *line) for line in table.lines)
    return file.getvalue()
