"""Finding images: one order, whatever the disk holds; and lists of images, line by line."""

import errno
import os
import shutil
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import listing
from dilo.pipeline.images.listing import find_files, find_images, read_list
from dilo.pipeline.images.names import Names


def touch(root, *names):
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_images_are_found_at_any_depth_in_one_order(tmp_path):
    touch(tmp_path, "b/2.JPEG", "b/10.png", "a.jpg", "b/c/x.webp", "b.jpg", "b-/x.jpg")
    touch(tmp_path, "notes.txt", ".h/x.jpg", "._a.jpg", ".jpg", "jpg", "x.jpg.txt", "b/jpg.")
    assert list(find_images(tmp_path)) == [
        *("a.jpg", "b-/x.jpg", "b.jpg", "b/10.png", "b/2.JPEG", "b/c/x.webp")
    ]


# Around the slash, and bytes that are no UTF-8: where orders differ.
part = st.text(st.sampled_from("aB-.0 é\uffff\U0001f4a9\udcff\udc80\n\\"), min_size=1, max_size=3)
part = part.filter(lambda name: not name.startswith("."))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(part, min_size=1, max_size=3), min_size=1, max_size=8))
def test_the_order_is_that_of_the_whole_paths(tmp_path_factory, trees):
    root = tmp_path_factory.mktemp("tree")
    # Files end otherwise than folders, so that no name has to be both.
    names = {"/".join(parts) + "x.jpg" for parts in trees}
    touch(root, *names)
    assert list(find_images(root)) == sorted(os.fsdecode(os.fsencode(name)) for name in names)
    shutil.rmtree(root)


def test_any_name_is_found_and_opens(tmp_path):
    odd = [b"a b.jpg", b'it\'s "x".jpg', b"\xff.jpg", b"d\\e/f\n.jpg", "ü\u2028日.jpg".encode()]
    touch(tmp_path, *odd)
    found = find_images(tmp_path)
    assert sorted(os.fsencode(name) for name in found) == sorted(odd)
    assert all((tmp_path / name).is_file() for name in found)


def test_a_folder_named_like_an_image_is_no_image(tmp_path):
    touch(tmp_path, "x.jpg/1.png", "a.jpg")
    (tmp_path / "empty.jpg").mkdir()
    assert list(find_images(tmp_path)) == ["a.jpg", "x.jpg/1.png"]


def test_a_link_to_a_parent_ends(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert list(find_images(tmp_path)) == ["a/1.png"]


def test_a_link_to_itself_or_through_another_folder_ends(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "me").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    assert list(find_images(tmp_path)) == ["a/1.png", "a/other/2.png", "b/2.png", "b/other/1.png"]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_folder_with_two_names_is_read_by_each_as_imagefolder_does(
    tmp_path, monkeypatch, backwards
):
    touch(tmp_path, "m/1.png", "n/2.png")
    (tmp_path / "z").symlink_to("m")
    (tmp_path / "b").symlink_to("n")
    scandir = os.scandir

    class Scan:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda e: e.name, reverse=backwards)

        def __enter__(self):
            return self.entries

        def __exit__(self, *error):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(listing.os, "scandir", Scan)
        assert list(find_images(tmp_path)) == ["b/2.png", "m/1.png", "n/2.png", "z/1.png"]


def test_pictures_of_kinds_that_are_not_read_are_counted_and_said(tmp_path):
    touch(tmp_path, "a.jpg", "b.HEIC", "c/d.heic", ".e.heic", "f.jxl", "g.txt")
    lines = []
    assert list(find_images(tmp_path, say=lines.append)) == ["a.jpg"]
    assert lines == [f"{tmp_path}: 3 files skipped: .heic (2), .jxl (1), which are not read"]
    lines.clear()
    find_images(tmp_path, ["a.*", "b.*"], say=lines.append)
    assert lines == [f"{tmp_path}: 1 file skipped: .heic, which are not read"]
    lines.clear()
    find_images(tmp_path, ["a.*"], say=lines.append)
    assert lines == []
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DiloError, match=r"none found; 3 files skipped: \.heic \(2\)"):
        find_images(tmp_path)


def test_rarer_names_of_images_are_listed(tmp_path):
    names = ["a.avif", "b.jfif", "c.JPE", "d.jp2", "e.j2k"]
    assert list(find_images(touch(tmp_path, *names))) == names


def test_files_of_any_extension_are_found_through_links(tmp_path):
    touch(tmp_path, "a/1.xml", "a/1.jpg", "2.XML")
    (tmp_path / "b").symlink_to("a")
    assert list(find_files(tmp_path, (".xml",))) == ["2.XML", "a/1.xml", "b/1.xml"]


def test_links_to_files_are_images_and_links_to_nothing_are_listed(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "good.jpg").symlink_to("a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    assert list(find_images(tmp_path)) == ["a.jpg", "gone.jpg", "good.jpg", "loop.jpg"]


def test_pipes_sockets_and_devices_are_passed_over(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "linked.jpg").symlink_to("pipe.jpg")
    (tmp_path / "null.jpg").symlink_to(os.devnull)
    monkeypatch.chdir(tmp_path)  # an address has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.jpg")
        assert list(find_images(tmp_path)) == ["a.jpg"]


@pytest.mark.parametrize(("name", "message"), [("no", "no such folder"), ("empty", "none found")])
def test_a_folder_that_cannot_serve_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DiloError, match=message):
        find_images(tmp_path / name)


def refusing(function, folder, code):
    """Make a system call fail on a folder; a test may run as root, whom no mode stops."""

    def call(path, *more, **named):
        if os.fspath(path).rstrip("/") == str(folder):
            raise OSError(code, os.strerror(code), path)
        return function(path, *more, **named)

    return call


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, call):
    touch(tmp_path, "a/1.jpg", "b\n/2.jpg")
    closed = refusing(getattr(os, call), tmp_path / "b\n", errno.EACCES)
    with monkeypatch.context() as patch:
        patch.setattr(listing.os, call, closed)
        with pytest.raises(DiloError, match=r"be readable, got .*/b\\x0a/: Permission denied: "):
            find_images(tmp_path)


class ClosedEntry:
    """A link to where one may not look."""

    def __init__(self, name):
        self.name = name

    def is_dir(self):
        raise PermissionError(errno.EACCES, "Permission denied", self.name)


def test_a_link_to_where_nobody_may_look_is_an_image_by_its_name_alone():
    assert listing._sort_key(ClosedEntry("x.jpg")) == "x.jpg"
    with pytest.raises(PermissionError):
        listing._sort_key(ClosedEntry("n01440764"))


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["*.png"], ["a/1.png", "a/b/2.png"]),
        (["*.PNG"], None),
        (["1.*"], ["a/1.png", "c/1.jpg"]),
        (["a*"], None),  # the name alone is compared
        (["a/*"], ["a/1.png", "a/b/2.png"]),  # a star does not stop at a slash
        (["a/b/*", "c/?.[j]pg"], ["a/b/2.png", "c/1.jpg"]),
        (["/a/*"], None),
    ],
)
def test_globs_choose_images(tmp_path, include, expected):
    touch(tmp_path, "a/1.png", "a/b/2.png", "c/1.jpg")
    (tmp_path / "list").write_text("c/1.jpg\na/1.png\na/b/2.png\n")
    if expected is None:
        with pytest.raises(DiloError, match=r"--include must match .*none of 3 images in"):
            find_images(tmp_path, include)
        with pytest.raises(DiloError, match=r"--include must match .*none of 3 images in .*list:"):
            read_list(tmp_path / "list", tmp_path, include)
    else:
        assert list(find_images(tmp_path, include)) == expected
        assert sorted(read_list(tmp_path / "list", tmp_path, include)) == expected


def test_the_caller_is_told_how_many_were_seen(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{i}.jpg" for i in range(25)))
    monkeypatch.setattr(listing, "PROGRESS_EVERY", 10)
    seen = []
    find_images(tmp_path, ["1*"], on_progress=seen.append)
    assert seen == [10, 20]


def test_a_list_is_taken_in_its_order_and_cleaned(tmp_path):
    lines = ["b.jpg", "", "./a//c/./d.png\r", f"{tmp_path}/x y", r"\\\xff\x0a", "#1.jpg", "é.jpg"]
    (tmp_path / "list").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    names = read_list(tmp_path / "list", tmp_path)
    assert list(names) == ["b.jpg", "a/c/d.png", "x y", "\\\udcff\n", "#1.jpg", "é.jpg"]


def test_the_list_of_a_store_is_a_list(tmp_path):
    items = [os.fsdecode(name) for name in (b"z", b"\xff/\\x.jpg", b" a\r", b"b\r\n")]
    (tmp_path / "images.txt").write_text(Names(items).text(), newline="\n")
    assert read_list(tmp_path / "images.txt", tmp_path) == Names(items)


def test_absolute_paths_may_go_through_a_link_or_not(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "images").symlink_to("disk")
    (tmp_path / "list").write_text(f"{tmp_path}/disk/a.jpg\n{tmp_path}/images/b.jpg\n")
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "images", Path("images")):
        assert list(read_list(tmp_path / "list", root)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a list must name images, one per line, got .*list, which names none"),
        (b"\n\r\n\n", "which names none"),
        (b"a\n\n../b\n", r"list, line 3: must be a path below --images .*, got \.\./b"),
        (b"a/../b\n", r"line 1: must be a path below .*, got a/\.\./b"),
        (b"/etc/passwd\n", "line 1: must be a path below .*, got /etc/passwd"),
        (b"./\n", r"line 1: must be a path below .*, got \./"),
        (b"a\0b\n", r"line 1: must be a path below .*, got a\\x00b"),
        (b"a\n\xff.jpg\n", r"line 2: must be UTF-8, got b'\\xff.jpg': write \\xNN for a byte"),
        (b"n01\\a.jpg\n", r"line 1: a backslash must be written \\\\, another .*, got \\a\.j"),
        (
            b"a\nb\n\n./a\nb\n",
            "list, line 4: an image must be listed once, got a, also in line 1",
        ),
    ],
)
def test_a_list_that_cannot_serve_is_refused_by_its_line(tmp_path, content, message):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(DiloError, match=message):
        read_list(tmp_path / "list", tmp_path)


def test_a_path_beside_the_folder_is_not_below_it(tmp_path):
    (tmp_path / "list").write_text(f"{tmp_path}/images-2/a.jpg\n")
    with pytest.raises(DiloError, match=r"1: must be a path below --images .*/images/, got"):
        read_list(tmp_path / "list", tmp_path / "images")


def test_a_list_that_is_a_pipe_or_has_a_line_without_end_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DiloError, match="pipe must be a regular file, got a pipe or a device"):
        read_list(tmp_path / "pipe", tmp_path)
    (tmp_path / "long").write_bytes(b"a.jpg\n" + b"x" * 100_000)
    with pytest.raises(DiloError, match="long, line 2: must have at most 65536 bytes"):
        read_list(tmp_path / "long", tmp_path)
