"""Lines of the coverage benchmark as tables in plain text."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]

#: More than this share of the multiply-adds is much for a network that lost half of its channels.
MUCH = 0.4


def tables(rows: Sequence[Row]) -> str:
    """Counts for each zoo, then everything that is not as it should be, then seconds."""
    parts = [
        _counts(rows),
        _list("Wrong or crashed (ours)", rows, lambda r: wrong(r, "ours") or r["ours"].get("status") == "crash"),
        _list("Refused, or stopped by a limit (ours)", rows, lambda r: r["ours"].get("status") in STOPPED),
        _list(f"More than {MUCH:.0%} of the MACs left (ours)", rows, lambda r: r["ours"].get("macs_left", 0) > MUCH),
        _list("Does not train, load or export (ours)", rows, lambda r: bool(troubles(r["ours"]))),
        _list("Not checked independently (ours)", rows, lambda r: proved(r["ours"]) and not right(r["ours"])),
        _list("Runs and is wrong (peer)", rows, lambda r: wrong(r, "peer"), who="peer"),
        _reasons(rows),
        _seconds(rows),
    ]
    return "\n\n".join(part for part in parts if part)


STOPPED = ("refused", "timeout", "memory")


def proved(facts: Row) -> bool:
    """A smaller network came back."""
    return facts.get("status") in ("proved", "runs")


def right(facts: Row) -> bool:
    """It came back and equals the silenced original."""
    return proved(facts) and facts.get("check") == "right"


def wrong(row: Row, who: str) -> bool:
    """It came back and differs, and no norm that the network writes out by hand, as our marks say, is the reason."""
    facts, ours = row.get(who, {}), row["ours"]
    by_hand = ours.get("check") == "different" and ours.get("marks")
    return proved(facts) and facts.get("check") in ("wrong", "different") and not by_hand


def troubles(facts: Row) -> list[str]:
    """What failed afterwards."""
    found = [f"{key}: {facts[key]}" for key in ("trains", "loads", "exports") if facts.get(key, "ok") != "ok"]
    return [trouble for trouble in found if "the unpruned network does not" not in trouble]


def _counts(rows: Sequence[Row]) -> str:
    header = ["zoo", "networks", "proved", "+ right", f"+ ≤{MUCH:.0%} MACs", "wrong", "peer runs", "+ right",
              f"+ ≤{MUCH:.0%} MACs", "wrong"]  # fmt: skip
    kinds: list[tuple[str, Callable[[Row], bool]]] = [
        (zoo, lambda row, zoo=zoo: row["zoo"] == zoo)  # type: ignore[misc]
        for zoo in dict.fromkeys(row["zoo"] for row in rows)
    ]
    kinds += [("convolutional", lambda row: row["convolutional"]), ("others", lambda row: not row["convolutional"])]
    lines = [header]
    for name, belongs in [*kinds, ("all", lambda row: True)]:
        chosen = [row for row in rows if belongs(row)]
        line = [name, str(len(chosen))]
        for who in ("ours", "peer"):
            facts = [row.get(who, {}) for row in chosen]
            light = [f for f in facts if right(f) and f.get("macs_left", 1) <= MUCH]
            bad = sum(wrong(row, who) for row in chosen)
            line += [str(n) for n in (sum(map(proved, facts)), sum(map(right, facts)), len(light), bad)]
        lines.append(line)
    return _align(lines)


def _list(title: str, rows: Sequence[Row], belongs: Callable[[Row], bool], who: str = "ours") -> str:
    chosen = [row for row in rows if belongs(row)]
    lines = [
        ["  " + row["name"], "" if row["convolutional"] else "(not convolutional)", _remark(row[who])] for row in chosen
    ]
    return f"{title}: {len(chosen)}\n{_align(lines)}" if chosen else f"{title}: none"


def _remark(facts: Row) -> str:
    words = [str(facts.get("status", "nothing came")), f"in {facts['stage']}" if facts.get("stage") != "done" else ""]
    words += [str(facts.get("why", "")), " < ".join(reversed(facts.get("frames", [])[-2:]))]
    if proved(facts) and facts.get("error") is not None:
        words.append(
            f"error {facts['error']:.1g}, {facts['marks']} norms changed"
            if facts.get("marks")
            else f"error {facts['error']:.1g}"
        )
    if "macs_left" in facts:
        words.append(f"MACs {facts['macs_left']:.0%}")
    words += troubles(facts)
    if facts.get("status") == "refused" or facts.get("macs_left", 0) > MUCH:
        words += [f"{count}× {reason}" for reason, count in list(facts.get("reasons", {}).items())[:3]]
    return "; ".join(word for word in words if word)


def _reasons(rows: Sequence[Row]) -> str:
    """Why groups are frozen, names of modules left out, by the number of networks."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update({_kind(reason) for reason in row["ours"].get("reasons", {})})
    lines = [[f"  {count}", reason] for reason, count in counts.most_common(40)]
    return f"Why groups are frozen (networks)\n{_align(lines)}" if lines else ""


def _kind(reason: str) -> str:
    words = [
        "…" if "." in word and not word.startswith("aten.") and word[-1:] != "." else word for word in reason.split()
    ]
    return " ".join(words)


def _seconds(rows: Sequence[Row]) -> str:
    lines = [["seconds of the processor", "networks", "median", "90 %", "most"]]
    for who in ("ours", "peer"):
        for key in ("structures_seconds", "cut_seconds"):
            taken = sorted(row[who][key] for row in rows if key in row.get(who, {}))
            if taken:
                tail = taken[min(len(taken) - 1, int(0.9 * len(taken)))]
                numbers = [f"{x:.2f}" for x in (statistics.median(taken), tail, taken[-1])]
                lines.append([f"{who} {key.removesuffix('_seconds')}", str(len(taken)), *numbers])
    return _align(lines)


def _align(lines: Iterable[Sequence[str]]) -> str:
    lines = list(lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
