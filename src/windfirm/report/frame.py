"""The frame that all pages share: one HTML document that opens offline, style inside, no request and no script."""

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, *, title: str, styles: Sequence[str] = ("page.css",), **values: object) -> str:
    """The page that ``template``, a file beside this one, makes of ``values``; every text but Markup is escaped."""
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup("".join(map(_resource, styles)))
    return environment.get_template(template).render(title=title, css=css, **values)


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
