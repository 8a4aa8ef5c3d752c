"""Classes from files, in the forms in which they are handed out."""

import numpy as np
import pytest
from scipy.io import savemat

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labelfile import classes_by_files
from dilo.pipeline.images.names import Names

VAL = Names(f"ILSVRC2012_val_{number:08}.JPEG" for number in (1, 2, 3))


def classes(tmp_path, text, names=VAL, where="val"):
    file = tmp_path / "labels.txt"
    file.write_text(text)
    return classes_by_files([file], names, where)


@pytest.mark.parametrize(
    "text",
    [
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000002,n02 9 19 49 99 n02 1 2 3 4 \n"
        "ILSVRC2012_val_00000001,n01 85 1 499 272\n"
        "ILSVRC2012_val_00000003,n01 0 0 9 9\n",
        "ILSVRC2012_val_00000001.JPEG n01\nILSVRC2012_val_00000002.JPEG n02\n\n"
        "./ILSVRC2012_val_00000003.JPEG\tn01\nanother.JPEG n03\n",
        "n01\nn02\nn01\n",
        "n01\nn02\nn01\n\n \n",
    ],
)
def test_the_files_of_imagenet_are_read(tmp_path, text):
    assert classes(tmp_path, text) == ["n01", "n02", "n01"]


def test_numbers_of_the_development_kit_are_synsets_by_the_file_beside_them(tmp_path):
    with pytest.raises(DiloError, match=r"meta.mat of that kit must lie beside it"):
        classes(tmp_path, "2\n1\n2\n")
    kinds = [("ILSVRC2012_ID", "i2"), ("WNID", "O")]
    synsets = np.array([(1, "n02"), (2, "n01")], kinds)
    savemat(tmp_path / "meta.mat", {"synsets": synsets})
    assert classes(tmp_path, "2\n1\n2\n") == ["n01", "n02", "n01"]
    with pytest.raises(DiloError, match=r"meta.mat must say what each number .* got none for 3"):
        classes(tmp_path, "2\n1\n3\n")
    (tmp_path / "meta.mat").write_bytes(b"no matrix")
    with pytest.raises(DiloError, match=r"meta.mat must be that of the development kit, got"):
        classes(tmp_path, "2\n1\n2\n")


def test_names_are_paths_or_file_names_with_or_without_extension(tmp_path):
    names = Names(["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4 5.jpg"])
    text = "a/1.jpg cat\na/2,great white shark\n3.jpg\tdog\n4 5 cat\n"
    assert classes(tmp_path, text, names) == ["cat", "great white shark", "dog", "cat"]


def test_a_file_of_other_images_leaves_folders_alone_and_is_refused_without_folders(tmp_path):
    text = "other.jpg cat\n"
    assert classes(tmp_path, text, Names(["a/1.jpg"])) is None
    assert classes_by_files([], VAL, "val") is None
    message = r"must have the classes of the images of val, got none .* named like ILSVRC2012_val"
    with pytest.raises(DiloError, match=message):
        classes(tmp_path, text)


def test_an_image_without_a_class_is_named(tmp_path):
    message = "the class of each image of val, got none for 2 of 3, such as ILSVRC2012_val_00000002"
    with pytest.raises(DiloError, match=message):
        classes(tmp_path, "ILSVRC2012_val_00000001 n01\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name classes, a line for each image, got .*: empty"),
        ("a.jpg cat\nb.jpg\n", "line 2: must be a name and a class, got b.jpg"),
        ("a.jpg cat\na.jpg dog\n", "line 2: an image must have one class, got dog for a.jpg, and"),
        ("a.jpg,\n", "line 1: must be a name and a class"),
        ("n01\n\nn02\nn01\n", "line 2: must be the class of image 2, got an empty line"),
        ("\n1\n2\n1\n", "line 1: must be the class of image 1, got an empty line"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path, text, message):
    with pytest.raises(DiloError, match=message):
        classes(tmp_path, text)


def test_several_files_share_the_images(tmp_path):
    (tmp_path / "a").write_text("1.jpg cat\n")
    (tmp_path / "b").write_text("2.jpg dog\n")
    files = [tmp_path / "a", tmp_path / "b"]
    assert classes_by_files(files, Names(["1.jpg", "2.jpg"]), "x") == ["cat", "dog"]


def test_lines_without_a_separator_are_said_to_be_classes_alone(tmp_path):
    with pytest.raises(DiloError, match=r"it has classes alone, .*a comma\), and .* like a.JPEG"):
        classes(tmp_path, "a.JPEG;n01\nb.JPEG;n02\n", Names(["a.JPEG", "b.JPEG"]))
