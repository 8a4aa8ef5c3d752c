"""Words from files, as a terminal shows them."""

import unicodedata

import click
import pytest
from support.cli import invoke

from dilo.pipeline.cli.options import say, user_errors
from dilo.pipeline.common.printing import counted, printable
from dilo.pipeline.errors import StoreError

REVERSED, MARKS = "\u202e", "\u200e\u200f\u061c\u202a\u202d\u2066\u2069"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ümlaut 猫, 5\u00a0%\t\n", "plain, ümlaut 猫, 5\u00a0%\t\n"),
        ("byte \udcff", "byte \\udcff"),
        ("half \ud800", "half \\ud800"),
        ("escape \x1b[0m\x00\x85\r", "escape \\x1b[0m\\x00\\x85\\x0d"),
        (f"photo{REVERSED}gpj.exe", "photo\\u202egpj.exe"),
        (MARKS, "\\u200e\\u200f\\u061c\\u202a\\u202d\\u2066\\u2069"),
        ("a\u200bb\ufeffc\u2028d\u2029", "a\\u200bb\\ufeffc\\u2028d\\u2029"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_or_nobody_sees_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    printable(text).encode()


def test_nothing_unseen_passes():
    passed = {c for c in map(chr, range(0x30000)) if printable(c) == c}
    kinds = {unicodedata.category(c) for c in passed - set("\t\n")}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert "é" in passed


@pytest.mark.parametrize(("most", "shown"), [(None, "abcdefgh"), (8, "abcdefgh"), (6, "abc...")])
def test_a_long_text_is_cut_where_a_bound_is_given(most, shown):
    assert printable("abcdefgh", most) == shown


def test_what_is_said_reaches_the_terminal_without_its_orders(capfd):
    say(f"a{REVERSED}\x1b]0;title\x07")
    assert capfd.readouterr().err == "a\\u202e\\x1b]0;title\\x07\n"


def test_an_error_reaches_the_terminal_without_the_orders_of_a_file():
    @click.command()
    @user_errors
    def command():
        raise StoreError(f"shard has {REVERSED}\x1b[2J")

    assert invoke(command, status=3).stderr == "Error: shard has \\u202e\\x1b[2J\n"


@pytest.mark.parametrize(("count", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_one_thing_is_not_several(count, words):
    assert counted(count, "run") == words
    assert counted(count, "class", "classes").endswith("class" if count == 1 else "classes")
