"""Words of errors, and which of them are the system's."""

import errno
import os

import h5py
import pytest

from dilo.pipeline.errors import (
    REMEDIES,
    AccessError,
    ContentError,
    DiloError,
    first_few,
    near,
    require_access,
    system_errno,
)


@pytest.mark.parametrize(
    ("names", "words"),
    [("", ""), ("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more")],
)
def test_of_many_names_the_first_three_are_told_and_the_rest_counted(names, words):
    assert first_few(list(names)) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rdb", ": did you mean rbd?"),
        ("superpixel", ": did you mean superpixels?"),
        ("zzz", ""),
        ("", ""),
        ("x" * 100_000, ""),
        (5, ""),
    ],
)
def test_a_name_that_is_nearly_one_of_those_known_is_guessed(name, words):
    assert near(name, ["gs", "rbd", "superpixels"]) == words


@pytest.mark.parametrize("number", REMEDIES)
def test_an_error_of_the_system_is_raised_as_such_with_path_and_remedy(number):
    with pytest.raises(AccessError) as raised:
        require_access(OSError(number, os.strerror(number)), "here.h5")
    assert str(raised.value) == f"here.h5: {os.strerror(number)}: {REMEDIES[number]}"
    assert raised.value.errno == system_errno(raised.value) == number


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone"), ValueError("wrong"), OSError("no HDF5")]
)
def test_a_missing_file_and_wrong_content_are_not_the_systems_fault(error):
    assert system_errno(error) is None
    require_access(error, "here.h5")


def test_memory_that_is_short_is_the_systems_fault():
    assert system_errno(MemoryError()) == errno.ENOMEM


def test_the_number_that_hdf5_says_within_its_words_is_found(tmp_path):
    with pytest.raises(OSError, match="errno") as raised:
        h5py.File(tmp_path / "gone.h5", "r")
    assert system_errno(raised.value) is None  # it is missing
    words = "Unable to open file (name = 'a.h5', errno = 13, error message = 'Permission denied')"
    assert system_errno(OSError(words)) == errno.EACCES


def test_wrong_content_is_caught_as_a_value_and_as_ours():
    assert issubclass(ContentError, ValueError)
    assert issubclass(ContentError, DiloError)
