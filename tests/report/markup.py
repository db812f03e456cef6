"""Reading a page back."""

from html.parser import HTMLParser

from hypothesis import strategies as st

VOID = {"meta", "br", "img"}
SVG_VOID = {"path", "rect"}


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value or "" for _, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_VOID
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"]:
            self.text += data


def read(html: str) -> Reader:
    """The page as a reader sees it; fails for tags that are not balanced."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


#: Names that try to be more than names.
EVIL = st.one_of(
    st.text(st.sampled_from("<>\"'&/=;-!ax\n\x00 "), min_size=1),
    st.sampled_from(['"><script>', "</title><img src=x>", "' onload='x", "]]><svg>", "<!--", "&lt;script&gt;"]),
)


class _Structure(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))


def structure(html: str) -> list[tuple[str, ...]]:
    """Every tag with the names of its attributes, in order."""
    parser = _Structure()
    parser.feed(html)
    parser.close()
    return parser.tags
