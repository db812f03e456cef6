"""A model card in Markdown beside a pruned network, made from its record (Mitchell et al., *Model Cards*, FAT* 2019).

Whatever a record holds is shown as it is: names inside a span of code, words with every mark of Markdown escaped.
"""

import json
import re
import shlex
from collections.abc import Iterator, Sequence

from windfirm.attack.options import some
from windfirm.report import pruning
from windfirm.report import record as read
from windfirm.report.record import Record

#: What may mean something inside a line or at its start, in Markdown's dialects taken together; a mark is the last.
MARKS = re.compile(r"[\\`*_{}\[\]<#|~&$@:^=]|(?<=www)\.|^[-+>]|^\d+[.)]", re.IGNORECASE)

#: What left, and how: a key of the record and its name.
CHANGED = {
    "structure": "Structure",
    "choose": "Choice between the two",
    "criterion": "Criterion",
    "target": "Target",
    "adjustment": "Adjusted with",
    "defence": "Defence while adjusting",
}
#: How it can be done again.
MADE = {"seed": "Seed", "hardware": "Hardware", "versions": "Versions"}


def card(record: Record, *, file: str = "model.safetensors", compare: str = "", found: Sequence[str] = ()) -> str:
    """The whole card. ``record`` is what ``windfirm prune`` wrote into ``record.json``; any key may be missing.

    ``file``: the network's, beside the card. ``found``: what was measured, in sentences; without, ``compare`` is the
    command that does.
    """
    name = code(read.text(record.get("model")) or "network")
    parts = {
        "": [f"# {name}, pruned", *_sentences(record, name)],
        "Details": _lines(_details(record, file)),
        "Intended use": [
            f"The same task, images and classes as {name}, where it costs too much. What {name} is not fit for, its "
            "pruned form is not fit for either."
        ],
        "Data": _lines(_data(record)),
        "What was changed": [*_costs(record), *_lines(_facts(record, CHANGED)), *_stayed(record)],
        "Evaluation": _evaluation(compare, found),
        "Limits": _lines(_limits(record, found)),
        "How to load": _loading(record, file),
    }
    written = [text for title, body in parts.items() if body for text in ([f"## {title}"] if title else []) + body]
    return "\n\n".join(written) + "\n"


def code(text: object) -> str:
    """``text`` on one line as a span of code, in which nothing but its end means anything."""
    line = flat(text)
    fence = "`" * (_longest_run(line) + 1)
    room = " " if "`" in (line[:1], line[-1:]) else ""
    return f"{fence}{room}{line}{room}{fence}"


def plain(text: object) -> str:
    """``text`` on one line, in which no character has a meaning."""
    return MARKS.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", flat(text))


def flat(text: object) -> str:
    """``text`` on one line, with a replacement character for each that cannot be printed."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _block(language: str, *lines: str) -> str:
    fence = "`" * max(3, 1 + max(map(_longest_run, lines)))
    return "\n".join([f"{fence}{language}", *lines, fence])


def _longest_run(line: str) -> int:
    return max(map(len, re.findall("`+", line)), default=0)


def _lines(entries: Iterator[str]) -> list[str]:
    """A list of what there is, none where nothing is."""
    found = "\n".join(f"- {entry}" for entry in entries)
    return [found] if found else []


def _sentences(record: Record, name: str) -> list[str]:
    criterion = {"criterion": code(said)} if (said := read.text(record.get("criterion"))) else {}
    told = " ".join(pruning.sentences({**record, "model": name, **criterion}))
    return [told.removesuffix(pruning.UNMEASURED).rstrip()]


def _facts(record: Record, labels: dict[str, str]) -> Iterator[str]:
    for key, label in labels.items():
        if said := read.text(record.get(key)):
            yield f"**{label}:** {code(said)}"


def _details(record: Record, file: str) -> Iterator[str]:
    yield f"**File:** {code(file)}, one safetensors file; loading it runs no code from it"
    if maker := _maker(record):
        yield f"**Network:** {code(maker)}"
    if shape := read.names(record.get("input")):
        yield f"**Input:** images of {code('×'.join(shape))}, values in [0, 1]"
    yield from _facts(record, MADE)


def _maker(record: Record) -> str:
    return read.text(record.get("arch")) or read.text(record.get("factory"))


def _data(record: Record) -> Iterator[str]:
    count, skipped = read.number(record.get("images")), read.number(record.get("skipped"))
    if data := read.text(record.get("data")):
        digest = read.text(record.get("digest"))
        said = [f"{count:,.0f} images"] if count > 0 else []
        said += [f"SHA-256 of pixels and labels begins with {code(digest)}"] if digest else []
        said += [f"{some(round(skipped), 'file')} left out as unreadable"] if skipped > 0 else []
        yield ", ".join([f"**Images of this run:** {code(data)}", *said])
    elif count == 0:
        yield "No image was looked at: the criterion reads weights alone, and nothing was trained."
    yield "What the network learnt from before it was pruned is not in the record of this run."


def _costs(record: Record) -> list[str]:
    rows = [f"| {what} | {a} | {b} | {change} |" for what, a, b, change in pruning.costs(record)]
    return ["\n".join(["| one image | before | after | change |", "|---|---:|---:|---:|", *rows])] if rows else []


def _stayed(record: Record) -> list[str]:
    whole = _lines(f"{code(name)}: {plain(reason)}" for name, reason in pruning.whole(record))
    return ["These stayed whole:", *whole] if whole else []


def _evaluation(compare: str, found: Sequence[str]) -> list[str]:
    if found:
        return _lines(map(plain, found))
    said = "Accuracy and robustness were not measured by this run."
    if compare:
        return [f"{said} From the folder in which it was pruned, this does:", _block("sh", flat(compare))]
    return [f"{said} `windfirm compare` does, against the network before its cuts."]


def _limits(record: Record, found: Sequence[str]) -> Iterator[str]:
    rounds = read.rounds(record)
    if rounds:
        yield "The proof is about the cut alone: it says nothing of accuracy, nor of what was trained afterwards."
    if changed := list(dict.fromkeys(place for entry in rounds for place in entry.changed)):
        where = ", ".join(map(code, changed))
        yield f"After the cut fewer channels are looked at by {where}; proved with statistics over those that stay."
    adjusted = read.text(record.get("adjust"))
    if "adjust" in record and not adjusted:
        yield "Nothing was trained after the cut."
    if adjusted and not read.mapping(read.mapping(record.get("adjustment")).get("epochs")).get("control"):
        yield "No control was trained: what the cut did cannot be told from what the extra training did."
    if "latency" in read.mapping(record.get("target")):
        yield "Time was measured on the hardware above; on other hardware the share differs."
    if not found:
        yield "Nothing is known of its robustness until it is measured; of attacks that were not run, not even then."


def _loading(record: Record, file: str) -> list[str]:
    factory = "" if read.text(record.get("arch")) else read.text(record.get("factory"))
    call = ", ".join(json.dumps(flat(text), ensure_ascii=False) for text in (file, factory) if text)
    words = shlex.join(map(flat, [file, *(["--factory", factory] if factory else [])]))
    return [
        _block("python", "import windfirm as wf", "", f"network = wf.load({call})"),
        *_fed(record),
        _block("sh", f"windfirm inspect {words}", f"windfirm export {words} --format pt2 --out model.pt2"),
    ]


def _fed(record: Record) -> list[str]:
    """What the network takes when it is loaded in Python."""
    if "normalisation" not in record:
        return []
    shape = read.names(record.get("input"))
    taken = f"It takes batches of {code('×'.join(('n', *shape)))}" if shape else "It takes images"
    if said := read.text(record.get("normalisation")):
        return [
            f"{taken}, (image − mean) / std of values in [0, 1], with {code(said)}. The commands do that themselves:"
        ]
    return [f"{taken} with values in [0, 1], without more ado:"]
