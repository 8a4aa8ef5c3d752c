"""An HTML page taken apart: whether its tags pair, what it says and what it asks for."""

from html.parser import HTMLParser

VOID = {"img", "br", "meta", "source"}


class Page(HTMLParser):
    """Tags of a page with their attributes, its text, and what does not pair."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.unpaired: list[str] = []
        self.feed(text)
        self.close()
        self.unpaired += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "small":
            self.words.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "li"):
            self.words.append(" ")
        if not self.open or self.open.pop() != tag:
            self.unpaired.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is read, in one line."""
        return " ".join("".join(self.words).replace("\u00a0", " ").split())

    def attributes(self, tag: str, name: str) -> list[str]:
        """List an attribute of all tags of a kind."""
        return [found.get(name) or "" for kind, found in self.tags if kind == tag]
