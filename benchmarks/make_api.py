"""``python -m benchmarks.make_api``: write docs/api.md, the public names with signature, docstring and file."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import windfirm

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"

INTRO = """\
# Public names

What `import windfirm as wf` offers, in the order of the flow: what can leave, scoring, cutting, training, attacking,
comparing, keeping. Made from the docstrings by `python -m benchmarks.make_api`; do not edit.

```python
import torch
import windfirm as wf

model = wf.build("resnet20")
smaller = wf.prune(model, torch.rand(1, 3, 32, 32), criterion="l1", macs=0.7)
help(wf.prune)                                            # the same text as below
```

```sh
windfirm prune resnet56 --criterion l1 --macs 0.7 --out small    # the commands call the same functions
```

Shapes are written (images, channels, height, width) = (n, c, h, w), a batch (b, c, h, w). Every error that is raised on
purpose is a [`WindfirmError`](#windfirmerror).

Four names are those of rooms as well: `wf.prune` is the function, and `from windfirm.prune.select import Cut` imports
from the room, where `import windfirm.prune.select as select` would look in the function.
"""

REST = """\
## What they take, return and refer to

"""

#: What is told of below the public names, by the module that it is imported from.
MORE = {
    "windfirm.prune.structure": ("Structure", "Anatomy", "anatomy"),
    "windfirm.prune.select": ("Cut",),
    "windfirm.prune.budget": ("Budget",),
    "windfirm.prune.propose": ("Target",),
    "windfirm.prune.verify": ("verify", "silencing", "Silence"),
    "windfirm.prune.carry": ("carry",),
    "windfirm.models.copies": ("awake",),
    "windfirm.models.cost": ("Cost",),
    "windfirm.data.images": ("Images",),
    "windfirm.adjust.train": ("train",),
    "windfirm.adjust.recipe": ("Recipe", "Extras", "Epoch"),
    "windfirm.attack.budget": ("Attack", "Budget"),
    "windfirm.evaluate.outcome": ("Outcome",),
    "windfirm.evaluate.compare": ("Comparison", "Delta"),
    "windfirm.evaluate.curves": ("sweep",),
}


def page() -> str:
    """The whole page."""
    found = {name: getattr(windfirm, name) for name in windfirm.PUBLIC}
    places = " · ".join(f"[`{name}`](#{name.lower()})" for name in found)
    lines = [
        line for name, value in found.items() for line in _entry(f"## {name}", name, value, windfirm.PUBLIC[name][0])
    ]
    more = [
        line
        for module, names in MORE.items()
        for name in names
        for line in _entry(f"### {module}.{name}", name, getattr(importlib.import_module(module), name), module)
    ]
    return "\n".join([INTRO, places, "", *lines, REST, *more])


def _entry(title: str, name: str, value: Any, path: str) -> Iterator[str]:
    module = path.replace(".", "/")
    folder = ROOT / "src" / module
    file = f"../src/{module}{'/__init__' if folder.is_dir() else ''}.py"
    yield from (title, "", "```py", signature(name, value), "```", "", prose(value), "")
    if inspect.isclass(value):
        yield from (f"- `{kind.__name__}`: {prose(kind)}" for kind in _below(value))
        yield ""
    yield from (f"[{file.removeprefix('../')}]({file})", "")


def _below(kind: type) -> list[type]:
    """The kinds of it that its own module has."""
    below: list[type] = kind.__subclasses__()
    return [one for one in below if one.__module__ == kind.__module__]


def signature(name: str, value: Any) -> str:
    """How ``value`` is called, its types and defaults as they stand in the source; a constant's name as its value."""
    if inspect.isclass(value):
        return _fields(name, value) if is_dataclass(value) else f"class {name}({_bases(value)})"
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(tree, ast.FunctionDef)
    written = {node.arg: node.annotation for node in ast.walk(tree.args) if isinstance(node, ast.arg)}
    given = tree.args.posonlyargs + tree.args.args
    defaults = dict(zip([node.arg for node in reversed(given)], reversed(tree.args.defaults), strict=False))
    defaults |= {
        known.arg: node for known, node in zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True) if node
    }
    parts: list[str] = []
    for one in inspect.signature(value).parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        annotation = written[one.name]
        text = star + one.name + (f": {ast.unparse(annotation)}" if annotation else "")
        node = defaults.get(one.name)
        plain = isinstance(node, ast.Name) and isinstance(one.default, int | float | str)
        parts.append(text + (f" = {one.default!r}" if plain else f" = {ast.unparse(node)}" if node else ""))
    end = f") -> {ast.unparse(tree.returns)}" if tree.returns else ")"
    return _call(name, parts, end)


def _call(name: str, parts: list[str], end: str) -> str:
    line = f"{name}({', '.join(parts)}{end}"
    return line if len(line) <= 110 else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + end


def _bases(value: type) -> str:
    return ", ".join(base.__name__ for base in value.__bases__)


def _fields(name: str, value: type) -> str:
    """A dataclass as it is made."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(tree, ast.ClassDef)
    written = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    parts = [f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{_default(node.value)}" for node in written]
    return _call(name, parts, ")")


def _default(node: ast.expr | None) -> str:
    """What a field is unless it is given, in words of the source; of ``field(...)`` what that makes."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        made = options.get("default", f"{options['default_factory']}()" if "default_factory" in options else "")
        return f" = {made}" if made else ""
    return f" = {ast.unparse(node)}" if node else ""


def prose(value: Any) -> str:
    """Its docstring in Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(value) or "")
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)  # code follows


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
