"""Which images a result is of: a digest of names and sizes, and a name."""

import pytest

from dilo.eval.common.inputs import BLOCK, THREADS, data_name, digest_of_files, keyed


def test_a_digest_is_of_names_and_sizes_wherever_the_files_lie(tmp_path):
    for folder, content in (("a", "12"), ("b", "34"), ("c", "123")):
        (tmp_path / folder).mkdir()
        for name in ("x.png", "y.png"):
            (tmp_path / folder / name).write_text(content)
    first, same, other = (digest_of_files(tmp_path / f, ("x.png", "y.png")) for f in "abc")
    assert first == same != other
    assert digest_of_files(tmp_path / "a", ("x.png",)) != first
    assert digest_of_files(tmp_path / "a", ("x.png", "y.png"), "a store") != first
    assert keyed(tmp_path / "a", ["y.png", "x.png"])["digest"] == first


def test_a_digest_of_many_files_is_of_their_order_and_not_of_the_threads(tmp_path):
    names = [str(number) for number in range(2 * BLOCK + THREADS)]
    assert digest_of_files(tmp_path, names) == digest_of_files(tmp_path, names)
    assert digest_of_files(tmp_path, names[::-1]) != digest_of_files(tmp_path, names)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"train": {"folder": "/data/in/train"}, "test": {"folder": "/data/cub/val"}}, "cub"),
        ({"images": {"folder": "/a/ECSSD/images"}, "truth": {"folder": "/b"}}, "ECSSD"),
        ({"truth": {"folder": "/a/my set (2)/masks"}}, "my-set-2"),
        ({"masks": [{"folder": "/a/pngs"}, {"folder": "/b"}]}, "pngs"),
        ({"images": {"folder": "/val/images"}}, "images"),
        ({"images": "/challenge/in9"}, "in9"),
        ({"images": {"folder": "/"}}, ""),
        ({"images": 7}, ""),
        (None, ""),
    ],
)
def test_a_result_is_called_after_the_folder_of_its_images(inputs, name):
    assert data_name(inputs) == name
