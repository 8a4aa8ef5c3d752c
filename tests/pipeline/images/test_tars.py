"""Tars as programs write them, and what is wrong with some."""

import contextlib
import io
import os
import tarfile

import pytest
from support.archives import tar_of

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.listing import ImageCounter
from dilo.pipeline.images.source import open_images
from dilo.pipeline.images.tars import list_tar

CONTENT = {"a/1.jpg": b"one" * 300, "a/2.jpg": b"two" * 300}


def with_members(path, *members):
    """Append members without content to a tar of two images."""
    tar_of(CONTENT, path)
    with tarfile.open(path, "a") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return open_images(path)


def test_links_have_the_bytes_of_what_they_lead_to(tmp_path):
    images = with_members(
        tmp_path / "a.tar",
        ("b/hard.jpg", tarfile.LNKTYPE, "./a/1.jpg"),
        ("b/soft.jpg", tarfile.SYMTYPE, "../a/2.jpg"),
        ("b/twice.jpg", tarfile.SYMTYPE, "soft.jpg"),
        ("b/before.jpg", tarfile.SYMTYPE, "twice.jpg"),
        ("b/nowhere.jpg", tarfile.SYMTYPE, "/data/x.jpg"),
        ("b/circle.jpg", tarfile.SYMTYPE, "circle.jpg"),
        ("b/pipe.jpg", tarfile.FIFOTYPE, ""),
    )
    names = [*CONTENT, *(f"b/{n}.jpg" for n in ("before", "circle", "hard", "nowhere", "soft"))]
    assert list(images.find()) == [*names, "b/twice.jpg"]
    assert images.read("b/hard.jpg") == CONTENT["a/1.jpg"]
    for name in ("soft", "twice", "before"):
        assert images.read(f"b/{name}.jpg") == CONTENT["a/2.jpg"]
    for name in ("nowhere", "circle"):
        with pytest.raises(ImageError, match="a link to what its archive does not hold"):
            images.read(f"b/{name}.jpg")


def test_a_sparse_member_is_a_row_with_its_reason(tmp_path):
    path = tmp_path / "a.tar"
    header = tarfile.TarInfo("a/1.jpg")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:398], block[398:410] = b"00000000000\0", b"00000001000\0"  # one piece of 512 bytes
    block[483:495] = b"00000002000\0"  # of a file of 1024
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block[:512]):06o}\0 ".encode()
    path.write_bytes(bytes(block[:512]) + bytes(512) + bytes(1024))
    with tarfile.open(path) as archive:
        assert archive.next().issparse()
    images = open_images(path)
    assert list(images.find()) == ["a/1.jpg"]
    with pytest.raises(ImageError, match=r"kept as a sparse file, .*: extract the archive"):
        images.read("a/1.jpg")


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_bytes_that_are_no_text_are_those_of_files(tmp_path, format_):
    long, odd = f"{'d' * 120}/{'n' * 150}.jpg", os.fsdecode(b"a/\xff \xe4.jpg")
    path = tar_of(
        {long: b"long", odd: b"odd"}, tmp_path / "a.tar", format=format_, errors="surrogateescape"
    )
    images = open_images(path)
    assert list(images.find()) == sorted([long, odd])
    assert (images.read(long), images.read(odd)) == (b"long", b"odd")


@pytest.mark.parametrize("kept", [700, 1100, 1600, 2100])
def test_a_truncated_tar_is_refused(tmp_path, kept):
    path = tar_of(CONTENT, tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[:kept])
    message = "a.tar must be a whole tar, got.* truncated or damaged: copy or download it again"
    with pytest.raises(DiloError, match=message):
        open_images(path).find()


def test_a_damaged_header_in_the_middle_does_not_end_the_list(tmp_path):
    path = tar_of(CONTENT, tmp_path / "a.tar")
    content = bytearray(path.read_bytes())
    content[1536 + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DiloError, match=r"got no header at byte 1536, after a/1.jpg: it is trunc"):
        open_images(path).find()


def test_a_tar_without_its_end_is_whole(tmp_path):
    path = tar_of(CONTENT, tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[: 2 * 1536])
    assert list(open_images(path).find()) == list(CONTENT)


def test_a_tar_in_a_tar_is_refused_where_it_is_compressed_or_truncated(tmp_path):
    inner = tar_of(CONTENT, tmp_path / "inner.tar").read_bytes()
    outer = tar_of({"n01.tar": inner[:1100]}, tmp_path / "outer.tar")
    with pytest.raises(DiloError, match=r"n01.tar in .*outer.tar must be a whole tar"):
        open_images(outer).find()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz"):
        pass
    outer = tar_of({"n01.tar.gz": packed.getvalue()}, tmp_path / "other.tar")
    with pytest.raises(DiloError, match=r"n01.tar.gz in .* a compressed one: .* with gunzip"):
        open_images(outer).find()


def test_a_tar_in_a_folder_of_a_tar_is_extracted_where_it_lies(tmp_path):
    flat = tar_of({"1.jpg": b"flat"}, tmp_path / "flat.tar").read_bytes()
    deep = tar_of(CONTENT, tmp_path / "deep.tar").read_bytes()
    outer = tar_of({"train/n01.tar": flat, "train/part.tar": deep}, tmp_path / "outer.tar")
    images = open_images(outer)
    assert list(images.find()) == ["train/a/1.jpg", "train/a/2.jpg", "train/n01/1.jpg"]
    assert images.read("train/n01/1.jpg") == b"flat"
    assert images.read("train/a/2.jpg") == CONTENT["a/2.jpg"]


def test_the_samples_of_webdataset_have_their_classes(tmp_path):
    for shard in range(2):
        content = {}
        for i in range(2):
            content |= {f"s{shard}{i}.jpg": b"jpeg", f"s{shard}{i}.cls": f"{i + 8}\n".encode()}
            content[f"s{shard}{i}.json"] = b"{}"
        tar_of(content, tmp_path / f"train-{shard}.tar")
    images = open_images(tmp_path)
    names = images.find()
    assert list(names) == [f"train-{s}/s{s}{i}.jpg" for s in range(2) for i in range(2)]
    assert images.labels(names) == ["8", "9", "8", "9"]
    assert images.labels(names[1:2]) == ["9"]


def test_classes_of_only_some_samples_are_none(tmp_path):
    content = {"1.jpg": b"", "1.cls": b"3", "2.jpg": b"", "2.cls": b"\n"}
    images = open_images(tar_of(content, tmp_path / "a.tar"))
    assert images.labels(images.find()) is None
    assert open_images(tar_of(CONTENT, tmp_path / "b.tar")).labels(images.find()) is None


def test_a_link_that_leads_out_of_the_archive_is_refused_with_the_archive_s_name(tmp_path):
    images = with_members(tmp_path / "a.tar", ("b/hard.jpg", tarfile.LNKTYPE, "../../a/1.jpg"))
    with pytest.raises(DiloError, match=r"a.tar must hold paths below .* got ../../a/1.jpg"):
        images.find()


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_damaged_tar_is_refused_in_a_sentence_whichever_byte_it_is(tmp_path, format_):
    long, odd = f"{'d' * 120}/{'n' * 150}.jpg", os.fsdecode(b"a/\xff \xe4.jpg")
    contents = {"a.jpg": b"x", "a.cls": b"cat", long: b"long", odd: b"odd"}
    path = tar_of(contents, tmp_path / "a.tar", format=format_, errors="surrogateescape")
    sound = path.read_bytes()[:8192]
    for place in (n for n, byte in enumerate(sound) if byte):
        damaged = io.BytesIO(sound[:place] + bytes([sound[place] ^ 0x5F]) + sound[place + 1 :])
        with contextlib.suppress(DiloError):
            list_tar(damaged, "a.tar", ImageCounter())
