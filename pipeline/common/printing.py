"""One door for words that come from files: what a terminal, a page or a table shows of them."""

import itertools
import unicodedata
from collections.abc import Mapping

#: Categories of what is not to be seen, or orders others about: control, format (directions,
#: zero width), lone surrogates, separators of lines and paragraphs.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_PLAIN = frozenset("\t\n")


def printable(text: str, max_length: int | None = None) -> str:
    r"""Write what a terminal would obey, or nobody would see, as an escape.

    Examples
    --------
    >>> printable("a\udcffb\x1b[0m\u202egpj.exe")
    'a\\udcffb\\x1b[0m\\u202egpj.exe'
    """
    if max_length is not None and len(text) > max_length:
        text = f"{text[: max(max_length - 3, 0)]}..."
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number of things.

    Examples
    --------
    >>> counted(1, "run"), counted(0, "class", "classes")
    ('1 run', '0 classes')
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def failure_lines(failures: Mapping[str, str], limit: int, suffix: str = "") -> list[str]:
    """Name the first of some images that failed, with the reasons, and count the others."""
    lines = [
        f"  failed: {path}: {reason}" for path, reason in itertools.islice(failures.items(), limit)
    ]
    if len(failures) > limit:
        lines.append(f"  and {len(failures) - limit} more{suffix}")
    return lines


def _escaped(character: str) -> str:
    """Show one character."""
    if character in _PLAIN or unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
