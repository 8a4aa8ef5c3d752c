"""Features into a file: the same as in memory, whatever stops it, and never of two networks."""

import re

import pytest
import torch
from support.features import small_checkpoint
from support.folders import write_class_folders

from dilo.eval.features import file as featurefile
from dilo.eval.features.features import extract_features
from dilo.eval.features.file import open_features, write_features
from dilo.eval.features.folders import any_folder, labelled_folder
from dilo.eval.features.resume import ResumableExtraction
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import AccessError, CheckpointError, DiloError


class Stopped(Exception):
    """Stands for a kill: what comes after it must find only what was published."""


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(small_checkpoint(tmp_path / "c.pt"))


@pytest.fixture
def images(tmp_path):
    return write_class_folders(tmp_path / "images", ("ant", "bee"), each=5)


def stop_after(count):
    """Count images, and stop the run at some of them."""
    done = []

    def progress(images):
        done.append(images)
        if sum(done) >= count:
            raise Stopped

    return progress


def equal(found, expected):
    """Compare all that features say."""
    torch.testing.assert_close(found.vectors[:], expected.vectors)
    assert torch.equal(found.labels, expected.labels)
    for name in ("root", "classes", "paths", "unreadable", "digest", "source"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize(("part", "batch"), [(3, 2), (10, 4), (100, 100)])
def test_a_file_holds_what_memory_would(encoder, images, tmp_path, part, batch):
    (images / "ant" / "1.png").write_bytes(b"no image")
    folder = labelled_folder(images)
    counted = []
    job = ResumableExtraction(encoder, folder, tmp_path / "f.h5", part=part)
    found = job.run(batch=batch, progress=counted.append)
    equal(found, extract_features(encoder, folder))
    equal(open_features(tmp_path / "f.h5"), extract_features(encoder, folder))
    assert sum(counted) == 10
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_run_that_was_stopped_goes_on_after_its_last_whole_part(encoder, images, tmp_path):
    folder = labelled_folder(images)
    with pytest.raises(Stopped):
        ResumableExtraction(encoder, folder, tmp_path / "f.h5", part=3).run(
            batch=2, progress=stop_after(8)
        )
    assert not (tmp_path / "f.h5").exists()
    job = ResumableExtraction(encoder, folder, tmp_path / "f.h5", part=3)
    assert (job.done, job.images) == (6, 10)
    counted = []
    equal(job.run(batch=2, progress=counted.append), extract_features(encoder, folder))
    assert counted == [2, 1, 1]


def test_a_file_that_is_there_is_not_made_again(encoder, images, tmp_path):
    folder = labelled_folder(images)
    ResumableExtraction(encoder, folder, tmp_path / "f.h5").run()
    before = (tmp_path / "f.h5").stat()
    job = ResumableExtraction(encoder, folder, tmp_path / "f.h5")
    assert job.done == 10
    equal(job.run(progress=stop_after(1)), extract_features(encoder, folder))
    assert (tmp_path / "f.h5").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("change", ["weights", "size", "images", "folder", "precision"])
def test_parts_of_anything_else_are_never_taken(encoder, images, tmp_path, change):
    path, precision = tmp_path / "f.h5", "fp32"
    with pytest.raises(Stopped):
        ResumableExtraction(encoder, labelled_folder(images), path, part=3).run(
            batch=3, progress=stop_after(9)
        )
    if change == "weights":
        encoder = load_encoder(small_checkpoint(tmp_path / "c.pt", seed=1))
    elif change == "size":
        encoder = load_encoder(tmp_path / "c.pt", size=24)
    elif change == "images":
        (images / "ant" / "0.png").rename(images / "ant" / "9.png")
    elif change == "folder":
        images = write_class_folders(tmp_path / "others", ("ant", "bee"), each=5, seed=3)
    else:
        precision = "bf16"
    folder = labelled_folder(images)
    job = ResumableExtraction(encoder, folder, path, part=3, precision=precision)
    assert job.done == 0
    others = {path.name for path in (tmp_path / ".f.h5.parts").iterdir()}
    equal(job.run(), extract_features(encoder, folder, precision=precision))
    assert {path.name for path in (tmp_path / ".f.h5.parts").iterdir()} == others
    # Nor is the file itself, once it is of something else.
    assert ResumableExtraction(
        encoder, labelled_folder(images), path, part=3, precision="bf16"
    ).done == (10 if change == "precision" else 0)


def test_a_part_that_is_not_whole_is_made_again(encoder, images, tmp_path):
    folder, path = labelled_folder(images), tmp_path / "f.h5"
    with pytest.raises(Stopped):
        ResumableExtraction(encoder, folder, path, part=3).run(batch=3, progress=stop_after(9))
    first, _ = sorted((tmp_path / ".f.h5.parts").iterdir())
    first.write_bytes(first.read_bytes()[:500])
    job = ResumableExtraction(encoder, folder, path, part=3)
    assert job.done == 3
    equal(job.run(), extract_features(encoder, folder))


def test_a_part_without_a_readable_image_adds_nothing_but_its_names(encoder, images, tmp_path):
    for number in range(4):
        (images / "ant" / f"{number}.png").write_bytes(b"no image")
    folder = labelled_folder(images)
    found = ResumableExtraction(encoder, folder, tmp_path / "f.h5", part=2).run()
    equal(found, extract_features(encoder, folder))
    assert len(found.unreadable) == 4


def test_a_folder_without_a_readable_image_is_refused(encoder, images, tmp_path):
    for path in images.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DiloError, match=r"none of 10 could, the first being ant/0\.png \("):
        ResumableExtraction(encoder, labelled_folder(images), tmp_path / "f.h5", part=3).run()


def test_features_that_are_not_finite_are_refused(images, tmp_path):
    content = torch.load(small_checkpoint(tmp_path / "c.pt"))
    content["state_dict"]["module.encoder_q.bn1.weight"].fill_(3e38)
    torch.save(content, tmp_path / "c.pt")
    job = ResumableExtraction(
        load_encoder(tmp_path / "c.pt"), labelled_folder(images), tmp_path / "f.h5"
    )
    with pytest.raises(CheckpointError, match=r"c\.pt must be finite, got NaN"):
        job.run()
    assert not (tmp_path / "f.h5").exists()


def test_a_folder_as_the_place_keeps_a_file_for_each_network(encoder, images, tmp_path):
    (tmp_path / "cache").mkdir()
    folder = labelled_folder(images)
    other = load_encoder(small_checkpoint(tmp_path / "d.pt", seed=1))
    for network in (encoder, other):
        job = ResumableExtraction(network, folder, tmp_path / "cache")
        assert job.done == 0
        assert re.fullmatch(r"images-[0-9a-f]{16}\.h5", job.path.name)
        equal(job.run(), extract_features(network, folder))
        assert ResumableExtraction(network, folder, tmp_path / "cache").done == 10
    assert len([*(tmp_path / "cache").iterdir()]) == 2


def test_a_copy_of_another_files_rows_under_the_same_name_is_noticed(encoder, images, tmp_path):
    job = ResumableExtraction(encoder, labelled_folder(images), tmp_path)
    other = load_encoder(tmp_path / "c.pt", size=24)
    write_features(job.path, extract_features(other, labelled_folder(images)))
    assert ResumableExtraction(encoder, labelled_folder(images), tmp_path).done == 0


def test_images_outside_class_folders_have_no_class(encoder, images, tmp_path):
    (images / "ant" / "0.png").rename(images / "0.png")
    found = ResumableExtraction(encoder, any_folder(images), tmp_path / "f.h5").run()
    assert found.classes == ()
    assert found.labels.tolist() == [-1] * 10


def test_who_ends_first_deletes_no_part_of_another_on_the_same_file(encoder, images, tmp_path):
    folder, path = labelled_folder(images), tmp_path / "f.h5"
    other = load_encoder(small_checkpoint(tmp_path / "d.pt", seed=1))
    first = ResumableExtraction(encoder, folder, path, part=3)
    second = ResumableExtraction(other, folder, path, part=3)
    ended = []

    def meanwhile(images):
        if not ended and (tmp_path / ".f.h5.parts").exists() and len(counted) > 2:
            ended.append(second.run(batch=3))
        counted.append(images)

    counted = []
    found = first.run(batch=3, progress=meanwhile)
    equal(found, extract_features(encoder, folder))
    assert ended
    assert sum(counted) == 10  # no part was made twice
    assert not (tmp_path / ".f.h5.parts").exists()


def test_two_commands_that_make_the_same_features_both_end_right(encoder, images, tmp_path):
    folder, path = labelled_folder(images), tmp_path / "f.h5"
    first = ResumableExtraction(encoder, folder, path, part=3)
    second = ResumableExtraction(encoder, folder, path, part=3)
    ended = []

    def meanwhile(images):
        counted.append(images)
        if len(counted) == 2:
            ended.append(second.run(batch=3))

    counted = []
    expected = extract_features(encoder, folder)
    equal(first.run(batch=3, progress=meanwhile), expected)
    equal(ended[0], expected)
    assert [file.name for file in tmp_path.glob("*.h5")] == ["f.h5"]
    assert not (tmp_path / ".f.h5.parts").exists()


def test_a_file_that_another_command_replaced_is_not_given_as_this_ones(
    encoder, images, tmp_path, monkeypatch
):
    folder, path = labelled_folder(images), tmp_path / "f.h5"
    other = load_encoder(small_checkpoint(tmp_path / "d.pt", seed=1))
    job = ResumableExtraction(encoder, folder, path)
    monkeypatch.setattr(
        job, "_clear", lambda: write_features(path, extract_features(other, folder))
    )
    with pytest.raises(DiloError, match=r"f\.h5 must hold what this command wrote, but another"):
        job.run()


def test_a_file_that_may_not_be_read_now_is_not_made_again(encoder, images, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "f.h5"))

    ResumableExtraction(encoder, labelled_folder(images), tmp_path / "f.h5").run()
    monkeypatch.setattr(featurefile.h5py, "File", refuse)
    with pytest.raises(AccessError, match=r"f\.h5: Permission denied: this user has no right"):
        ResumableExtraction(encoder, labelled_folder(images), tmp_path / "f.h5")


def test_a_file_that_is_no_features_is_not_replaced(encoder, images, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"a photograph")
    with pytest.raises(DiloError, match=r"photo\.jpg must be a new file, or one of features"):
        ResumableExtraction(encoder, labelled_folder(images), tmp_path / "photo.jpg")
    assert (tmp_path / "photo.jpg").read_bytes() == b"a photograph"
