"""CIFAR-10, CIFAR-100 and STL-10 in binary files: pixels, classes, and what is refused."""

import functools

import numpy as np
import pytest
from support.cli import invoke

from dilo.pipeline.cli import main
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.source import open_images

open_packable = functools.partial(open_images, in_order=True)

RNG = np.random.default_rng(0)


def pixels(count, side):
    return RNG.integers(0, 256, (count, side, side, 3), np.uint8)


def cifar(folder, images, *labels):
    """Write a file as CIFAR's: labels, then planes of red, green and blue, row by row."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    columns = [np.array(column, np.uint8)[:, None] for column in labels]
    np.hstack([*columns, planes]).tofile(folder)


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("airplane\nbird\n\n")
    images = pixels(10, 32)
    for number in range(5):
        part = images[2 * number :][:2]
        cifar(folder / f"data_batch_{number + 1}.bin", part, [0, 1])
    return folder, images


def test_cifar_10_is_packed_as_pngs_in_class_folders(cifar10, tmp_path):
    folder, expected = cifar10
    options = ("--workers", 1, "--backend", "threading")
    invoke(main, "pack", "--images", folder / "train", "--out", tmp_path / "packed", *options)
    images = open_images(tmp_path / "packed")
    assert list(images.find()[4:6]) == ["airplane/8.png", "bird/1.png"]
    for name in images.find():
        assert np.array_equal(images.decode(name), expected[int(name[-5])])
    invoke(main, "verify", tmp_path / "packed", "--images", folder / "train", "--workers", 1)


def test_cifar_100_has_its_fine_classes(tmp_path):
    (tmp_path / "fine_label_names.txt").write_text("apple\nbear\n")
    images = pixels(3, 32)
    cifar(tmp_path / "test.bin", images, [7, 7, 7], [1, 0, 1])
    source = open_packable(tmp_path / "test")
    assert list(source.find()) == ["apple/1.png", "bear/0.png", "bear/2.png"]
    assert np.array_equal(source.decode("bear/2.png"), images[2])


def test_stl_10_is_read_column_by_column_and_its_unlabeled_images_have_no_class(tmp_path):
    (tmp_path / "class_names.txt").write_text("cat\ndog")
    images = pixels(2, 96)
    for name in ("train_X.bin", "unlabeled_X.bin"):
        images.transpose(0, 3, 2, 1).tofile(tmp_path / name)
    np.array([2, 1], np.uint8).tofile(tmp_path / "train_y.bin")
    source = open_packable(tmp_path / "train")
    assert list(source.find()) == ["cat/1.png", "dog/0.png"]
    assert np.array_equal(source.decode("dog/0.png"), images[0])
    assert list(open_packable(tmp_path / "unlabeled").find()) == ["0.png", "1.png"]


def test_the_sets_agree_with_torchvision(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("cat\ndog")
    RNG.integers(0, 256, (2, 3 * 96 * 96), np.uint8).tofile(folder / "unlabeled_X.bin")
    theirs = torchvision.datasets.STL10.__new__(torchvision.datasets.STL10)
    theirs.root, theirs.base_folder = str(tmp_path), "stl10_binary"
    loaded = theirs._STL10__loadfile("unlabeled_X.bin")[0]
    source = open_packable(folder / "unlabeled")
    assert np.array_equal(source.decode("1.png"), loaded[1].transpose(1, 2, 0))


def test_pickles_are_refused_and_the_binary_version_is_named(tmp_path):
    for name, file, archive in (
        ("cifar-10-batches-py", "data_batch_1", "cifar-10-binary.tar.gz"),
        ("cifar-100-python", "meta", "cifar-100-binary.tar.gz"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        for path in (tmp_path / name, tmp_path / name / "train"):
            with pytest.raises(
                DiloError, match=f"pickles may run any code, .*: download .* {archive}"
            ):
                open_packable(path)
            with pytest.raises(DiloError, match=f"pickles may run any code, .* {archive}"):
                open_images(path)


def test_the_whole_folder_and_damaged_files_are_refused(cifar10, tmp_path):
    folder, _ = cifar10
    with pytest.raises(DiloError, match=r"must be a split of CIFAR-10, .*/train or .*/test"):
        open_packable(folder)
    with pytest.raises(DiloError, match=r"is CIFAR-10 in binary files, .*: run dilo-prep pack"):
        open_images(folder / "train")
    with pytest.raises(DiloError, match=r"test_batch.bin must be a file of CIFAR-10, got: No such"):
        open_packable(folder / "test").find()
    cifar(folder / "test_batch.bin", pixels(2, 32), [0, 2])
    with pytest.raises(DiloError, match=r"labels of CIFAR-10 in .* must be of 2 classes"):
        open_packable(folder / "test").find()
    (folder / "test_batch.bin").write_bytes(b"x" * 3072)
    with pytest.raises(DiloError, match="of 3073 bytes an image, got 3072 bytes: unpack"):
        open_packable(folder / "test").find()
