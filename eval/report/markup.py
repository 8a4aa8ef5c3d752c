"""HTML out of pieces: whatever text enters is escaped, whoever wrote it."""

import html
from collections.abc import Iterable, Sequence

from dilo.pipeline.common.printing import printable


class Markup(str):
    """HTML that may stand as it is; any other text is escaped where it enters."""

    __slots__ = ()


def escape(child: object) -> Markup:
    """Make HTML of anything.

    Parameters
    ----------
    child : object
        `Markup` stays, None is nothing, the rest is text.

    Returns
    -------
    Markup
        Safe between tags and in quotes.

    Examples
    --------
    >>> escape("<b>&"), escape(Markup("<b>"))
    ('&lt;b&gt;&amp;', '<b>')
    """
    if isinstance(child, Markup):
        return child
    return Markup("" if child is None else html.escape(printable(str(child))))


def joined(children: Iterable[object], between: str = "") -> Markup:
    """Put pieces one after the other.

    Parameters
    ----------
    children : iterable of object
        As `escape` takes them.
    between : str, default ""
        Text between each two.

    Returns
    -------
    Markup
        All of them.
    """
    return Markup(escape(between).join(map(escape, children)))


def tag(element: str, *children: object, **attributes: object) -> Markup:
    """Write an element.

    Parameters
    ----------
    element : str
        Its name.
    *children : object
        What stands in it, as `escape` takes it.
    **attributes : object
        Values by name, ``class_`` being class; None leaves one out.

    Returns
    -------
    Markup
        The element.

    Examples
    --------
    >>> tag("a", "R&D", href='#"', class_=None)
    '<a href="#&quot;">R&amp;D</a>'
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    end = "" if element in ("img", "br", "source") else f"</{element}>"
    return Markup(f"<{element}{words}>{joined(children)}{end}")


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: object = None,
    numbers: bool = True,
) -> Markup:
    """Write a table in a box of its own, in which it scrolls where the page is narrow.

    Parameters
    ----------
    head : sequence of object
        Above the columns.
    rows : iterable of sequence of object
        The first cell of each names the row; one cell alone heads the rows below it.
    caption : object, optional
        Above it.
    numbers : bool, default True
        Whether the cells are numbers, to be set against the right.

    Returns
    -------
    Markup
        The table.
    """
    body = [
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
        if rest
        else tag("tr", tag("th", first, scope="rowgroup", colspan=len(head)), class_="group")
        for first, *rest in rows
    ]
    inner = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        tag("tbody", *body),
        class_="numbers" if numbers else None,
    )
    # A box that scrolls must be reachable by keyboard.
    return tag("div", inner, class_="wide", tabindex="0", role="group", aria_label="table")


def paragraph(*children: object, kind: str | None = None) -> Markup:
    """Write a paragraph.

    Parameters
    ----------
    *children : object
        As `escape` takes them.
    kind : str, optional
        Its class: "warning", "note", "missing".

    Returns
    -------
    Markup
        The paragraph.
    """
    return tag("p", *children, class_=kind)


def bullets(items: Iterable[object], kind: str | None = None) -> Markup:
    """Write a list.

    Parameters
    ----------
    items : iterable of object
        As `escape` takes them.
    kind : str, optional
        Its class.

    Returns
    -------
    Markup
        The list; nothing for no items.
    """
    lines = [tag("li", item) for item in items]
    return tag("ul", *lines, class_=kind) if lines else Markup()
