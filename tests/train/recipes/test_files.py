"""Recipe files: a file says what differs from its base, at any depth."""

import errno
import os

import pytest
from support.recipes import flat

from dilo.pipeline.errors import AccessError, RecipeError
from dilo.train.recipes import load_recipe
from dilo.train.recipes.files import read_recipe


def write(folder, **files):
    """Write recipes, each as its lines; give the path of the first."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{next(iter(files))}.toml")


def changes(name, base):
    """Give what differs from a base, by key."""
    over, under = flat(load_recipe(name)), flat(load_recipe(base))
    return {key: value for key, value in over.items() if value != under[key]}


def test_a_file_changes_its_base_key_by_key_at_every_depth(tmp_path):
    file = write(tmp_path, mine='base = "moco-v2"\nseed = 3\n[paste.backgrounds]\ncrops = 2\n')
    assert changes(file, "moco-v2") == {"seed": 3, "paste.backgrounds.crops": 2.0}


def test_a_base_may_be_a_file_beside_it_that_has_a_base_itself(tmp_path):
    inner = tmp_path / "inner"
    write(inner, own='base = "moco-v1"\n[optimizer]\nepochs = 9\nbatch = 64\n')
    file = write(tmp_path, mine='base = "inner/own.toml"\n[optimizer]\nbatch = 128\n')
    assert changes(file, "moco-v1") == {"optimizer.epochs": 9, "optimizer.batch": 128}
    # From the file's folder, wherever the program runs; and from the middle, back up.
    other = write(inner, up='base = "../mine.toml"\n[optimizer]\nepochs = 8\n')
    assert changes(other, file) == {"optimizer.epochs": 8}


def test_without_a_base_the_defaults_stand_under_a_file(tmp_path):
    file = write(tmp_path, mine="# What it is,\n# and more.\nseed = 1\n")
    assert read_recipe(file).summary == "What it is,"
    assert (read_recipe(file).base, read_recipe(file).values) == (None, {"seed": 1})
    assert read_recipe(write(tmp_path, bare="seed = 1\n# late\n")).summary == ""


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a": 'base = "moco-v3"'},
            r"a.toml: base must be .* got 'moco-v3': did you mean moco-v\d",
        ),
        ({"a": 'base = "zzz"'}, r"a.toml: base must be a .toml file or one of .* got 'zzz'$"),
        ({"a": 'base = "none.toml"'}, r"a.toml: base .*none.toml cannot be read"),
        ({"a": "base = 3"}, r"a.toml: base must be the name of a recipe, got 3"),
        ({"a": 'base = "a.toml"'}, r"a.toml: base must not go round in a circle, got 'a.toml'"),
        (
            {"a": 'base = "b.toml"', "b": 'base = "c.toml"', "c": 'base = "../x/a.toml"'},
            r"c.toml: base must not go round in a circle, got '../x/a.toml'",
        ),
        ({"a": 'base = "b.toml"', "b": "= 3"}, r"b.toml must be TOML"),
        # A fault is told of the file in which it is.
        ({"a": 'base = "b.toml"', "b": "[views]\nsiez = 3"}, r"b.toml: unknown key views.siez"),
        ({"a": 'base = "moco-v1"\n[views]\nsiez = 3'}, r"a.toml: unknown key views.siez"),
        ({"a": 'base = "moco-v1"\nviews = 3'}, r"a.toml: views must be ViewsRecipe, got 3"),
        ({"a": "a = " + "[" * 200_000}, r"a.toml must be TOML, got brackets nested too deep"),
        ({"a": "seed = " + "9" * 5000}, r"a.toml: an integer must be below 2\*\*64, got a longer"),
        ({"a": 'base = "moco-v1"\n[views]\nsize = 1' + "0" * 30}, r"views.size must be finite and"),
        ({"a": "paper = 3"}, r"a.toml: paper must be a section, got 3"),
    ],
)
def test_a_base_that_does_not_serve_is_refused_by_name_with_its_file(tmp_path, files, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path / "x", **files))


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        RecipeError, match=r"--recipe lists, got 'moco-v3': did you mean moco-v\d or "
    ):
        load_recipe("moco-v3")
    with pytest.raises(RecipeError, match=r"--recipe .*none.toml cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(RecipeError, match="must be TOML"):
        load_recipe(write(tmp_path, bad="= 3"))


def test_a_recipe_with_a_byte_order_mark_and_ends_of_lines_of_windows_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbf# What it is.\r\nbase = "moco-v1"\r\nseed = 5\r\n')
    assert load_recipe(str(path)).seed == 5
    assert read_recipe(str(path)).summary == "What it is."


def test_a_pipe_and_a_device_are_no_recipe_and_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe.toml", "zero.toml"):
        with pytest.raises(
            RecipeError, match=f"{name} .*must be a regular file, got a pipe or a d"
        ):
            load_recipe(str(tmp_path / name))


def test_a_recipe_that_the_system_does_not_give_is_no_wrong_recipe(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("dilo.train.recipes.files.read_text", refuse)
    with pytest.raises(AccessError, match="Permission denied: this user has no right"):
        load_recipe(str(tmp_path / "mine.toml"))
