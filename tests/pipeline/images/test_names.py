"""Names: real paths in, lines of UTF-8 out, and a million of them found by a table."""

import hashlib
import os
import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.images.names import Names, escaped, short_names, unescaped

#: What a file system may hold as a relative path: any bytes but NUL.
paths = st.binary().map(lambda content: os.fsdecode(content.replace(b"\0", b"")))


@given(paths)
def test_a_name_of_any_bytes_survives_its_line(name):
    line = escaped(name)
    assert unescaped(line) == name
    assert line.encode().decode() == line  # no surrogates
    assert not any(ord(character) < 0x20 or ord(character) == 0x7F for character in line)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\")))
def test_a_printable_name_stands_as_it_is(name):
    assert escaped(name) == name


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\\b.jpg", r"a\\b.jpg"),
        (b"two\nlines\r.jpg", r"two\x0alines\x0d.jpg"),
        (b"\x7f\t.jpg", r"\x7f\x09.jpg"),
        (b"\xff\xc3.jpg", r"\xff\xc3.jpg"),
        (b"\\xff.jpg", r"\\xff.jpg"),
        ("\N{PILE OF POO} é\u2028\u0085.jpg".encode(), "\N{PILE OF POO} é\u2028\u0085.jpg"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # a surrogate is no UTF-8
    ],
)
def test_what_a_line_cannot_hold_is_escaped(content, line):
    assert escaped(os.fsdecode(content)) == line
    assert Names([os.fsdecode(content)]).text() == f"{line}\n"
    assert os.fsencode(unescaped(line)) == content


@pytest.mark.parametrize("line", ["a\\", r"a\b", r"a\x4", r"a\xFF", r"\xg0"])
def test_another_escape_is_refused(line):
    with pytest.raises(ValueError, match=r"must be written \\\\, another byte \\xNN, got \\"):
        unescaped(line)


@pytest.mark.parametrize(
    ("names", "captions"),
    [
        (["a/1.jpg", "b/2.jpg", "b/2.jpg"], ["1.jpg", "2.jpg", "2.jpg"]),
        (["x/a/1.jpg", "x/b/1.jpg", "x/b/2.jpg"], ["a/1.jpg", "b/1.jpg", "2.jpg"]),
        (["x/a/1.jpg", "y/a/1.jpg", "a/1.jpg"], ["x/a/1.jpg", "y/a/1.jpg", "a/1.jpg"]),
        (["a/two\nlines.jpg"], [r"two\x0alines.jpg"]),
    ],
)
def test_a_caption_has_the_folders_that_tell_files_of_one_name_apart(names, captions):
    shortened = short_names(names)
    assert [shortened[name] for name in names] == captions


@given(st.lists(paths))
def test_names_are_the_list_they_were_made_of(items):
    names = Names(items)
    assert list(names) == items
    assert [names[i] for i in range(-len(items), 0)] == items
    assert pickle.loads(pickle.dumps(names)) == names


@given(st.lists(paths, max_size=6), st.data())
def test_a_slice_is_the_slice_of_the_list(items, data):
    part = data.draw(st.slices(len(items)))
    assert list(Names(items)[part]) == items[part]
    assert Names(items)[part] == Names(items[part])


def test_a_short_slice_does_not_keep_the_whole():
    names = Names(f"{i}.jpg" for i in range(10_000))
    assert len(pickle.dumps(names[5:8])) < 1000
    assert names[5:8]._bytes.base is None


@given(st.lists(paths))
def test_names_survive_the_file(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("names") / "images.txt"
    path.write_text(Names(items).text(), encoding="utf-8", newline="\n")
    assert Names.read(path) == Names(items)
    assert Names.read(path).digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_last_line_without_its_end_is_a_name_like_the_others(tmp_path):
    (tmp_path / "images.txt").write_bytes(b"a.jpg\nb.jpg")
    assert Names.read(tmp_path / "images.txt") == Names(["a.jpg", "b.jpg"])
    assert list(Names.of_text(b"")) == []


def test_a_list_cut_in_a_name_has_another_digest():
    assert Names.of_text(b"a.jpg\nb.jp").digest() != Names.of_text(b"a.jpg\nb.jpg\n").digest()


def test_the_digest_knows_names_and_order():
    digests = {Names(n).digest() for n in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", "c"])}
    assert len(digests) == 4


@given(st.lists(paths, max_size=8), paths, st.integers(-9, 9), st.integers(-9, 9) | st.none())
def test_a_name_is_found_where_the_list_has_it_first(items, other, start, stop):
    names = Names(items)
    for name in [*items, other]:
        assert (name in names) == (name in items)
        inside = [i for i in range(len(items))[start:stop] if items[i] == name]
        if inside:
            assert names.index(name, start, stop) == inside[0]
        else:
            with pytest.raises(ValueError, match="must be one of"):
                names.index(name, start, stop)


def test_names_are_compared_where_hashes_are_equal(monkeypatch):
    monkeypatch.setitem(Names.index.__globals__, "hash", lambda line: len(line))
    names = Names(["bb", "aa", "c", "aa", "dd"])
    assert [names.index(name) for name in ("bb", "aa", "c", "dd")] == [0, 1, 2, 4]
    assert "zz" not in names
    assert names.first_repeated() == 3


def test_what_is_no_name_is_not_among_names():
    names = Names(["a"])
    assert 7 not in names
    assert "\ud800" not in names
    assert "b" not in names


@given(st.lists(st.sampled_from("abcdef")))
def test_the_first_name_that_stands_twice_is_found(items):
    repeated = [i for i, name in enumerate(items) if name in items[:i]]
    assert Names(items).first_repeated() == (repeated[0] if repeated else None)


def test_the_table_of_one_process_is_not_given_to_another():
    names = Names(["a", "b"])
    assert names.index("b") == 1
    copy = pickle.loads(pickle.dumps(names))
    assert copy._table is None
    assert copy.index("b") == 1


def test_more_than_a_block_of_names_keep_their_order():
    items = [f"{i}/\n.jpg" for i in range(9000)]
    names = Names(items)
    assert list(names) == items
    assert [names.index(items[i]) for i in (0, 4095, 4096, 8999)] == [0, 4095, 4096, 8999]


def test_a_list_is_read_without_room_for_the_longest_there_may_be(tmp_path):
    (tmp_path / "images.txt").write_text("a.jpg\nb.jpg\n")
    tracemalloc.start()
    assert list(Names.read(tmp_path / "images.txt")) == ["a.jpg", "b.jpg"]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
