"""The frame that all pages share: one HTML document that opens offline, style and script inside, no request.

The script makes tables sort, series hide and examples filter; without it a page is plain tables and pictures. The page
names its digest, so that a browser runs this script and no other.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

#: Style sheets of every page.
STYLES = ("page.css", "drawing.css")


def render(template: str, *, title: str, styles: Sequence[str] = (), **values: object) -> str:
    """The page that ``template``, a file beside this one, makes of ``values``; every text but Markup is escaped.

    ``styles`` are the style sheets that it has beyond those of every page.
    """
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = "".join(map(_resource, dict.fromkeys((*STYLES, *styles))))
    script = _resource("page.js")
    inside = {"css": Markup(css), "script": Markup(script), "digest": digest(script)}
    return environment.get_template(template).render(title=title, **inside, **values)


def digest(script: str) -> str:
    """SHA-256 of a script as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"


def drawing(svg: str) -> str:
    """``svg`` as a file of its own, with the style that it has in a page."""
    start, _, rest = svg.partition(">")
    opened = start.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    style = "".join(map(_resource, STYLES))
    return f"{opened}>\n<style>\n{style}svg {{ background: var(--paper); }}\n</style>{rest}\n"


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
