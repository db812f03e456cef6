"""``python -m benchmarks.make_api``: write docs/api.md, the public names with signature, docstring and file."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
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
"""


def page() -> str:
    """The whole page."""
    found = {name: getattr(windfirm, name) for name in windfirm.PUBLIC}
    places = " · ".join(f"[`{name}`](#{name.lower()})" for name in found)
    return "\n".join([INTRO, places, "", *(line for name, value in found.items() for line in _entry(name, value))])


def _entry(name: str, value: Any) -> Iterator[str]:
    module = windfirm.PUBLIC[name][0].replace(".", "/")
    folder = ROOT / "src" / module
    file = f"../src/{module}{'/__init__' if folder.is_dir() else ''}.py"
    yield from (f"## {name}", "", "```py", signature(name, value), "```", "", prose(value), "")
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
        return f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
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
    line = f"{name}({', '.join(parts)}{end}"
    return line if len(line) <= 110 else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + end


def prose(value: Any) -> str:
    """Its docstring in Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(value) or "")
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)  # code follows


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
