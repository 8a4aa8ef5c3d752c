"""Images in archives are those of the extracted folder; and what is wrong with archives is said."""

import errno
import functools
import multiprocessing
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.archives import class_tars, contents_of, packed_forms, tar_of, zip_of
from support.photographs import photograph_folder

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images import archivebytes, archives, listing
from dilo.pipeline.images.archiveindex import INDEX
from dilo.pipeline.images.archives import ArchiveSource
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.source import holds_images, open_images

FORMS = (
    *("tar", "tar with ./", "folder in a tar", "folder of tars", "tar of tars", "tar in parts"),
    *("zip", "deflated zip"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("photographs") / "images", 8, classes=3)


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    return packed_forms(contents_of(folder), tmp_path_factory.mktemp("packed") / "forms")


@pytest.fixture(autouse=True)
def _fresh():
    """Begin as a new process does."""
    archives._INDEXES.clear()
    archivebytes.open_handle.cache_clear()


@pytest.mark.parametrize("form", FORMS)
def test_names_sizes_and_content_are_those_of_the_extracted_folder(folder, packed, form):
    expected, images = FolderSource(folder), open_images(packed[form])
    assert isinstance(images, ArchiveSource)
    assert images.find() == expected.find()
    assert images.find(["class1/*"]) == expected.find(["class1/*"])
    for name in expected.find():
        assert images.read(name) == expected.read(name)
        assert images.size(name) == expected.size(name)
    assert images.count(1) == 8
    assert (images.size("class0/9.jpg"), images.has("class0/9.jpg")) == (-1, False)
    with pytest.raises(ImageError, match="No such file or directory") as caught:
        images.read("class0/9.jpg")
    assert caught.value.errno == errno.ENOENT
    assert holds_images(packed[form])


def test_a_folder_with_an_image_is_a_folder_whatever_archives_lie_in_it(folder, tmp_path):
    content = contents_of(folder)
    tar_of(content, tmp_path / "a.tar")
    assert isinstance(open_images(tmp_path), ArchiveSource)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "x.jpg").write_bytes(b"")
    assert isinstance(open_images(tmp_path), FolderSource)
    (tmp_path / "y.jpg").write_bytes(b"")
    assert isinstance(open_images(tmp_path), FolderSource)


def test_hidden_members_and_those_of_macos_are_passed_over(tmp_path):
    content = {"a/1.jpg": b"one", "a/._1.jpg": b"fork", "__MACOSX/a/._1.jpg": b"fork"}
    content |= {".thumbs/1.jpg": b"small", "a/notes.txt": b"text"}
    for path in (tar_of(content, tmp_path / "a.tar"), zip_of(content, tmp_path / "a.zip")):
        assert list(open_images(path).find()) == ["a/1.jpg"]


def test_pictures_that_are_not_read_are_counted_and_none_is_an_error(tmp_path):
    said = []
    path = tar_of({"a/1.jpg": b"", "a/2.heic": b"", "a/3.HEIC": b""}, tmp_path / "a.tar")
    open_images(path).find(say=said.append)
    assert said == [f"{path}: 2 files skipped: .heic, which are not read"]
    empty = tar_of({"readme.txt": b"", "b/x.heic": b""}, tmp_path / "b.tar")
    with pytest.raises(DiloError, match=r"must hold images .*b.tar: none found; 1 file skipped"):
        open_images(empty).find()
    inner = tar_of({"train/1.jpg": b"", "val/2.jpg": b""}, tmp_path / "c.tar") / "tain"
    with pytest.raises(DiloError, match=r"c.tar/tain: none found; folders in .*: train, val"):
        open_images(inner).find()


def test_what_is_no_archive_is_refused_and_a_compressed_one_with_its_cure(tmp_path):
    text = tmp_path / "list.txt"
    text.write_text("a/1.jpg\n")
    with pytest.raises(DiloError, match=r"must be a folder .* or a zip, got .* none of these"):
        open_images(text).find()
    assert not holds_images(text)
    for mode, program in (("gz", "gunzip"), ("bz2", "bunzip2"), ("xz", "unxz")):
        path = tmp_path / f"a.tar.{mode}"
        with tarfile.open(path, f"w:{mode}"):
            pass
        with pytest.raises(DiloError, match=f"a.tar.{mode}, which is compressed: .* {program}$"):
            open_images(path).find()
        assert holds_images(path)
    with pytest.raises(DiloError, match=r"a\.tar\.bz2, which is compressed"):
        open_images(tmp_path).find()


def test_a_changed_archive_is_listed_anew_by_the_next_command(tmp_path):
    path = tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar")
    assert len(open_images(path).find()) == 1
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("a/2.jpg"))
    assert list(open_images(path).find()) == ["a/1.jpg", "a/2.jpg"]


def test_an_archive_that_changes_while_it_is_read_ends_the_work_in_words(tmp_path):
    path = tar_of({"a/1.jpg": b"one", "a/2.jpg": b"two"}, tmp_path / "a.tar")
    images = open_images(path)
    assert images.read("a/1.jpg") == b"one"
    with path.open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(DiloError, match=r"a.tar must stay as it was .* run the same command again"):
        images.read("a/2.jpg")


def test_an_archive_on_a_disk_that_went_away_ends_the_work_in_words(tmp_path):
    path = tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar")
    images = open_images(path)
    images.find()
    path.unlink()
    assert images.lost("a/1.jpg") == path
    with pytest.raises(DiloError, match=r"a.tar must hold 'a/1.jpg' .* is the disk mounted\?"):
        images.read("a/1.jpg")


def test_a_disk_that_fails_is_said_with_its_number(tmp_path, monkeypatch):
    images = open_images(tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar"))
    images.find()
    monkeypatch.setattr("dilo.pipeline.images.decoding.RETRY_DELAYS", (0.0,))

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(ImageError, match="Input/output error") as caught:
        images.read("a/1.jpg")
    assert caught.value.errno == errno.EIO


def test_names_of_two_archives_that_clash_are_refused(tmp_path):
    for name in "ab":
        tar_of({"x/1.jpg": b"", "x/notes.txt": b""}, tmp_path / f"{name}.tar")
    message = r"must hold images of different names, got x/1.jpg in a.tar and in b.tar"
    with pytest.raises(DiloError, match=message):
        open_images(tmp_path).find()


def test_an_image_twice_in_an_archive_is_refused(tmp_path):
    path = tar_of({"a/1.jpg": b"", "./a/1.jpg": b""}, tmp_path / "a.tar")
    with pytest.raises(DiloError, match=r"must hold each image once, got a/1.jpg twice"):
        open_images(path).find()


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path):
    path = tar_of({"../a/1.jpg": b""}, tmp_path / "a.tar")
    with pytest.raises(DiloError, match=r"a.tar must hold paths below .* got ../a/1.jpg"):
        open_images(path).find()


@pytest.mark.parametrize("place", ["store", "cache"])
def test_the_index_is_made_once_and_kept_beside_a_store_and_in_the_cache(
    tmp_path, monkeypatch, place
):
    path, store = tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar"), tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    open_images(path).keep(store)
    if place == "store":  # as on another machine
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    archives._INDEXES.clear()
    monkeypatch.setattr(archives, "list_tar", None)
    assert open_images(path, store if place == "store" else None).read("a/1.jpg") == b"one"
    assert [file.name for file in store.iterdir()] == [INDEX]


def test_an_index_that_is_damaged_or_of_other_archives_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, store = tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar"), tmp_path / "store"
    store.mkdir()
    open_images(path).keep(store)
    (cached,) = (tmp_path / "cache" / "dilo" / "images").iterdir()
    for damage in (b"", b"no arrays", (store / INDEX).read_bytes()[:-30]):
        archives._INDEXES.clear()
        (store / INDEX).write_bytes(damage)
        cached.write_bytes(damage)
        assert open_images(path, store).read("a/1.jpg") == b"one"


def test_without_a_place_for_the_index_images_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "cache_folder", lambda name: None)
    images = open_images(tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar"))
    assert images.read("a/1.jpg") == b"one"
    archives._INDEXES.clear()
    assert pickle.loads(pickle.dumps(images)).read("a/1.jpg") == b"one"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_reads_the_same(folder, packed, method):
    images = open_images(packed["tar of tars"])
    names = list(images.find())
    before = [images.read(name) for name in names]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(images.read, names) == before
    assert [images.read(name) for name in names] == before
    assert len(pickle.dumps(images)) < 2000


def test_threads_read_the_same_from_more_archives_than_are_held_open(tmp_path, monkeypatch):
    few = functools.lru_cache(2)(archivebytes._Handle)
    monkeypatch.setattr(archivebytes, "open_handle", few)
    contents = {f"{n}/{i}.jpg": f"{n} {i}".encode() * 50 for n in range(9) for i in range(5)}
    images = open_images(class_tars(contents, tmp_path / "tars"))
    names = list(images.find()) * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.read, names)) == [contents[name] for name in names]


def test_a_thread_that_comes_while_another_opens_the_index_reads_the_same(tmp_path, monkeypatch):
    images = open_images(tar_of({"a/1.jpg": b"one"}, tmp_path / "a.tar"))
    opening, others_done = threading.Event(), threading.Event()

    def archive_when_others_are_done(*fields):
        if not opening.is_set():
            opening.set()
            others_done.wait(10)
        return archivebytes.Archive(*fields)

    monkeypatch.setattr(archives, "Archive", archive_when_others_are_done)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(images.read, "a/1.jpg")
        opening.wait(10)
        try:
            assert images.read("a/1.jpg") == b"one"
        finally:
            others_done.set()
        assert first.result() == b"one"


@pytest.mark.parametrize("form", ["folder of tars", "tar of tars", "zip"])
def test_progress_counts_the_images_of_all_archives(packed, monkeypatch, form):
    monkeypatch.setattr(listing, "PROGRESS_EVERY", 4)
    monkeypatch.setattr(archives, "cache_folder", lambda name: None)
    counts = []
    open_images(packed[form]).find(on_progress=counts.append)
    assert counts == [4, 8]


def test_a_thousand_archives_need_few_open_files(tmp_path):
    contents = {f"{n:04}/1.jpg": str(n).encode() for n in range(1000)}
    tars = class_tars(contents, tmp_path / "tars")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "from dilo.pipeline.images.source import open_images\n"
        "images = open_images(Path(sys.argv[1]))\n"
        "names = images.find()\n"
        "assert all(images.read(name) == str(int(name[:4])).encode() for name in names)\n"
        "print(len(names))\n"
    )
    command = [sys.executable, "-c", program, str(tars)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "1000\n"


def test_an_archive_is_closed_in_silence_also_when_the_program_ends(tmp_path, monkeypatch):
    path = tar_of({"a/1.jpg": b""}, tmp_path / "a.tar")
    archivebytes.open_handle.cache_clear()
    descriptor = archivebytes.open_handle(str(path)).descriptor
    monkeypatch.setattr(archivebytes, "os", None)  # as modules are at the end
    archivebytes.open_handle.cache_clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_store_that_was_made_a_level_off_is_told_the_right_folder(tmp_path):
    path = tar_of({"train/a/1.jpg": b"", "val/a/2.jpg": b""}, tmp_path / "a.tar")
    assert open_images(path).whereabouts("a/1.jpg").endswith(f"give {path}/train")
    below = open_images(path / "train")
    assert below.whereabouts("train/a/1.jpg").endswith(f"give {path}")
    assert "is their disk mounted?" in below.whereabouts("b/1.jpg")
