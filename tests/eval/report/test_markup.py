"""HTML out of pieces: no text of a file is ever taken for a tag."""

from support.pages import Page

from dilo.eval.report.markup import Markup, bullets, escape, joined, table, tag

EVIL = "<script>alert('x')</script> & \"quoted\" </table>"


def test_text_is_escaped_wherever_it_enters():
    made = joined(
        [
            tag("p", EVIL, title=EVIL),
            table([EVIL], [[EVIL, EVIL], [EVIL]], caption=EVIL),
            bullets([EVIL]),
        ],
        between=EVIL,
    )
    page = Page(made)
    assert not page.unpaired
    assert "script" not in {name for name, _ in page.tags}
    assert page.attributes("p", "title") == [EVIL]
    # A paragraph, head, caption, two cells, a group's head, an item, and twice between the pieces.
    assert page.text.count("<script>") == 1 + 1 + 1 + 2 + 1 + 1 + 2


def test_markup_is_not_escaped_again():
    inner = tag("b", "a & b")
    assert escape(inner) is inner
    assert tag("p", inner) == "<p><b>a &amp; b</b></p>"
    assert isinstance(tag("p"), Markup)


def test_text_that_is_no_text_is_shown_as_an_escape():
    shown = escape("<\u202e\x1b[0m\udcff>")
    assert shown == "&lt;\\u202e\\x1b[0m\\udcff&gt;"
    shown.encode()


def test_what_is_none_is_left_out():
    assert tag("a", None, "x", None, href=None, class_="b") == '<a class="b">x</a>'
    assert bullets([]) == ""


def test_a_row_of_one_cell_heads_the_rows_below_it():
    page = Page(table(["", "a", "b"], [["group"], ["row", 1, 2]]))
    assert [a.get("colspan") for name, a in page.tags if name == "th" and "scope" in a][3:] == [
        "3",
        None,
    ]
    assert page.text == "abgrouprow12"
