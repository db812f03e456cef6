"""``windfirm report``: a study, a pruning, a training or a comparison as a page, and as tables for other programs."""

import gzip
import io
import json
import os
import re
import zlib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windfirm import console
from windfirm.commands.folder import results
from windfirm.commands.shared import print_json, printer
from windfirm.errors import InputError, StoreError, WindfirmError, brief, expected
from windfirm.evaluate.stored import from_json
from windfirm.files import as_text, write_text
from windfirm.models.device import pick
from windfirm.report import comparison_words, overview, pruning, run_table, study, study_words, training, written
from windfirm.report import page as comparison_page
from windfirm.report.page import Strip, strips
from windfirm.report.summary import Summary, rows_of, summaries
from windfirm.study import rows as csv_rows
from windfirm.study.listing import Measured, Run, measured, settings_of, studies
from windfirm.study.pictures import pictures
from windfirm.study.provenance import versions
from windfirm.study.store import NAME, Store, opened

#: What is looked for in a folder, in this order.
RECORD, COMPARISON = "record.json", "comparison.json"
ROWS = "rows.csv.gz"
#: How the text shows a drawing; no text of a user's comes out like this, as its brackets are escaped.
DRAWING = re.compile(r"\]\(([\w-]+\.svg)\)")
#: Sentences of the answer that a terminal shows.
SHOWN = 3


@dataclass(frozen=True)
class Report:
    """What is written, by file name, and the answer in a few lines."""

    files: Mapping[str, str | bytes]
    answer: Sequence[str]


def run(args: Namespace) -> None:
    """Read what there is and write the report beside it, or into ``--out``."""
    out, made = report(args)
    if args.json:
        print_json({"out": str(out), "files": {name: len(content) for name, content in made.files.items()}})
        return
    printer().print("\n".join(told(out, made)))


def report(args: Namespace) -> tuple[Path, Report]:
    """Write it; the folder, and what is in it."""
    places = [Path(name) for name in (args.path, *args.source) if name]
    if not places:
        raise InputError(expected("report", "a study, a run or --from FILE", "none"))
    where, made = places[0], _made(args, *places)
    out = Path(
        args.out or (where / "report" if where.is_dir() else where.with_name(f"{where.name.partition('.')[0]}-report"))
    )
    with results(out) as place:
        for name, content in made.files.items():
            if isinstance(content, bytes):
                (place / name).write_bytes(content)
            else:
                write_text(place / name, content)
    if args.markdown:
        beside = os.path.relpath(out, Path(args.markdown).parent)
        write_text(Path(args.markdown), DRAWING.sub(rf"](<{beside}/\1>)", str(made.files["report.md"])))
    return out, made


def told(out: Path, made: Report) -> list[str]:
    """The answer in a few lines, and where the rest is."""
    rest = ", ".join(name for name in made.files if name != "report.html")
    return [*made.answer, f"page: {out / 'report.html'}   more: {rest}"]


def _made(args: Namespace, where: Path, *more: Path) -> Report:
    """The report of what is there. Raises InputError for a place where there is nothing to report."""
    if (where / NAME).is_file():
        return _of_store(args, where, *more)
    if more and (where.is_dir() or where.suffix == ".json"):
        raise InputError(expected("report", "rows from a file beside the folder of a study", f"them beside {where}"))
    if where.is_dir():
        for name in (COMPARISON, RECORD):
            if (where / name).is_file():
                return _of_json(args, where / name)
        raise InputError(expected(str(where), f"a folder with {NAME}, {COMPARISON} or {RECORD}", "another"))
    if where.suffix == ".json":
        return _of_json(args, where)
    return _of_measured(args, _each_once([(file, _of_file(args, file)) for file in (where, *more)]), where)


def _of_store(args: Namespace, where: Path, *more: Path) -> Report:
    provenance: dict[str, str] = {}
    beside = [(file, _of_file(args, file)) for file in more]
    elsewhere = {row.study for _, rows in beside for row in rows}
    with opened(where) as store:
        with suppress(StoreError):  # where nothing can be written, cells of runs that were killed are still running
            store.reclaim(here=True)
        for name in args.study:
            if name not in elsewhere:
                settings_of(store, name)  # raises when there is none of that name
        found = [row for row in measured(store) if not args.study or row.study in args.study]
        drawn = {}
        for one in dict.fromkeys(row.run for row in found):
            provenance |= _undone(store, one.study)
            drawn[one] = _pictures(args, store, [row for row in found if row.run == one])
    together = _each_once([(where, found), *beside])
    together.sort(key=lambda row: args.study.index(row.study) if args.study else 0)
    return _of_measured(args, together, where, {one: strip for one, strip in drawn.items() if strip}, provenance)


def _undone(store: Store, study: str) -> dict[str, str]:
    """Which cells of a study are not done, also told on stderr."""
    cells = next(entry.cells for entry in studies(store) if entry.name == study)
    left = {state: count for state, count in cells.items() if state != "done"}
    undone = ", ".join(f"{count:,} {state}" for state, count in left.items())
    if left:
        console.say(f"{study}: {sum(left.values()):,} of {sum(cells.values()):,} cells are not done ({undone})")
    return {f"{study}, cells not done": undone} if left else {}


def _pictures(args: Namespace, store: Store, rows: Sequence[Measured]) -> tuple[str, Sequence[Strip]] | None:
    """What is seen, and the strips; None, with a word on stderr, where networks or images are not to be had."""
    if not args.pictures:
        return None
    try:
        found = pictures(store, rows, device=pick(args.device))
    except Exception as error:  # of attacks and networks of the user's own, and the tables need none
        said = str(error) if isinstance(error, WindfirmError) else brief(error)
        console.say(f"{rows[0].study}: no pictures: {said}")
        return None
    if found is None:
        return None
    point = ", ".join(map(str, found.point.values()))
    said = f"A few of the images, of {point or rows[0].study} with seed {found.seed}; the tables count all of them."
    return said, strips(found.examples, found.classes, found.titles)


def _of_file(args: Namespace, where: Path) -> list[Measured]:
    """The rows in a file, compressed or not, of the studies that are asked for."""
    try:
        raw = where.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        wanted = "the folder of a study or a run, or rows as CSV"
        raise InputError(expected(str(where), wanted, getattr(error, "strerror", None) or error)) from error
    found = csv_rows.read_csv(io.StringIO(text, newline=""), str(where))
    return [row for row in found if not args.study or row.study in args.study]


def _each_once(places: Sequence[tuple[Path, Sequence[Measured]]]) -> list[Measured]:
    """All rows. Raises InputError where two places have some of a study as it was run: they may be of unlike ones."""
    owner: dict[Run, Path] = {}
    for where, found in places:
        for one in {row.run for row in found}:
            if owner.setdefault(one, where) != where:
                wanted = f"the rows of {one.study} in one place"
                raise InputError(expected(str(where), wanted, f"some there and in {owner[one]}"))
    return [row for _, found in places for row in found]


def _of_measured(
    args: Namespace,
    found: Sequence[Measured],
    where: Path,
    drawn: Mapping[Run, tuple[str, Sequence[Strip]]] | None = None,
    about: Mapping[str, str] | None = None,
) -> Report:
    if not found:
        raise InputError(expected(str(where), "rows of a study that has run", "none"))
    made = summaries(found)
    file = io.StringIO(newline="")
    csv_rows.write_csv(found, file)
    rows = gzip.compress(as_text(file.getvalue()).encode("utf-8"), 9, mtime=0)  # the same rows are the same file
    title = args.title or _title(made)
    provenance = {**(about or {}), "tables again": f"windfirm report --from {ROWS}", "this page": versions()}
    page = study.page(made, title=title, pictures=drawn, provenance=provenance)
    beside = written.written(made, title=title, provenance=provenance)
    said = study_words.answer(made[0])[:SHOWN] if len(made) == 1 else overview.told(made)
    return Report({"report.html": page, **beside, ROWS: rows}, said)


def _of_json(args: Namespace, where: Path) -> Report:
    try:
        document: Any = json.loads(where.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            expected(str(where), "the JSON of a run", getattr(error, "strerror", None) or error)
        ) from error
    kinds = ({"subjects"}, {"rounds"}, {"recipe", "epochs"})  # of a comparison, a pruning, a training
    if not isinstance(document, Mapping) or not any(kind <= document.keys() for kind in kinds):
        raise InputError(expected(str(where), "the JSON that compare, prune or train wrote of one run", "another"))
    if args.study:
        raise InputError(expected("--study", "the rows of studies, to choose among", f"{where}, one run"))
    if "subjects" in document:
        return _of_comparison(args, document)
    if "rounds" in document:
        page, said, found = (
            pruning.page(document, args.title),
            pruning.sentences(document),
            run_table.of_pruning(document),
        )
    else:
        page, said, found = (
            training.page(document, args.title),
            training.sentences(document),
            run_table.of_training(document),
        )
    return Report({"report.html": page, **run_table.written(said, found)}, said[:SHOWN])


def _of_comparison(args: Namespace, document: Mapping[str, Any]) -> Report:
    comparison = from_json(document)
    title = args.title or " and ".join(dict.fromkeys(subject.name for subject in comparison.subjects))
    provenance = {name: str(text) for name, text in dict(document.get("provenance") or {}).items()}
    cautions = [str(text) for text in document.get("cautions") or ()]
    page = comparison_page(comparison, title=title, provenance=provenance, cautions=cautions)
    said = comparison_words.answer(comparison)
    beside = written.written(
        summaries(rows_of(comparison)),
        title=title,
        provenance=provenance,
        answer=lambda _: said,
        doubts=lambda _: [*cautions, *comparison_words.doubts(comparison)],
    )
    return Report({"report.html": page, **beside}, said[:SHOWN])


def _title(made: Sequence[Summary]) -> str:
    return made[0].title if len(made) == 1 else "Does pruning make networks harder to fool?"
