"""Words on pictures: the font, and how words are made to fit a width."""

import functools

from PIL import ImageFont


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Load the font that Pillow brings.

    Parameters
    ----------
    size : int
        Of the letters, in pixels.

    Returns
    -------
    font
        For Pillow to draw with.
    """
    return ImageFont.load_default(size=size)


def _long(text: str, size: int) -> float:
    """Measure words in pixels."""
    return font(size).getlength(text)


def cut(text: str, width: int, size: int) -> str:
    """Cut words to a width, and show that they were cut.

    Parameters
    ----------
    text : str
        The words.
    width : int
        Pixels.
    size : int
        Of the font.

    Returns
    -------
    str
        All of them, or as many letters as fit before an ellipsis.
    """
    if _long(text, size) <= width:
        return text
    while text and _long(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrapped(text: str, width: int, size: int = 12) -> list[str]:
    """Break words into lines.

    Parameters
    ----------
    text : str
        Words; a line feed ends a line.
    width : int
        Pixels.
    size : int, default 12
        Of the font.

    Returns
    -------
    list of str
        Lines, a word that is too long by itself cut.
    """
    lines: list[str] = []
    for part in text.splitlines():
        line = ""
        for word in part.split():
            longer = f"{line} {word}".lstrip()
            if line and _long(longer, size) > width:
                lines.append(cut(line, width, size))
                longer = word
            line = longer
        lines.append(cut(line, width, size))
    return lines
