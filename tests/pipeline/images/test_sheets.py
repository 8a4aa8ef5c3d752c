"""Words fit their width, and show it where they were cut."""

from dilo.pipeline.images.sheets import truncate, wrap


def test_words_that_are_too_long_are_cut_with_an_ellipsis():
    assert truncate("short", 100, 12) == "short"
    found = truncate("word " * 50, 100, 12)
    assert found.endswith("…")
    assert "word word".startswith(found[:9])
    assert 8 < len(found) < 40


def test_a_note_is_broken_between_words_and_at_line_feeds():
    text = "one two three four five six seven eight nine ten\neleven"
    lines = wrap(text, 100)
    assert " ".join(lines).split() == text.split()
    assert lines[-1] == "eleven"
    assert len(lines) > 3
    assert wrap("", 100) == []
    assert wrap("x" * 99, 100)[0].endswith("…")
