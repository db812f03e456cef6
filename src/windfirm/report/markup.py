"""Text as Markdown and LaTeX show it, letter by letter, and a Markdown table."""

import re
from collections.abc import Iterable, Sequence

#: What Markdown reads as something else.
MARKUP = re.compile(r"[\\`*_\[\]<>|&~#]")
#: What a stock LaTeX has no letter for. What is not here and not Latin is replaced by a question mark.
LETTERS = {
    "ℓ": r"$\ell$",
    "−": "$-$",
    "′": "$'$",
    "–": "--",
    "±": r"$\pm$",
    "…": r"\ldots{}",
    "\N{NO-BREAK SPACE}": "~",
}
#: What LaTeX reads as something else.
SPECIAL = re.compile(r"[\\{}$&#^_%~<>|\"]")
LATEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}"}
LATEX |= {">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}


def md(text: str) -> str:
    """``text`` as Markdown shows it, letter by letter: no cell ends early and no markup begins."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def code(text: str) -> str:
    """``text``, of one line, as Markdown shows code, between more backticks than there are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def tex(text: str) -> str:
    """``text`` as LaTeX prints it, letter by letter; what a stock installation cannot print is a question mark."""
    text = " ".join(text.split())
    text = SPECIAL.sub(lambda found: LATEX.get(found[0], f"\\{found[0]}"), text)
    return "".join(LETTERS.get(c, c if c.isprintable() and ord(c) < 0x180 else "?") for c in text)


def piped(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table of cells that are Markdown; all but the first column stand on the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *rows))
