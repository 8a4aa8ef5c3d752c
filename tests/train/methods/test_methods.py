"""Methods by name: ours, imported on use, and those that another package registers."""

import subprocess
import sys

import pytest
from support.plugins import lay_out

from dilo.pipeline.errors import DiloError, RecipeError
from dilo.train.methods import METHODS, make_method
from dilo.train.methods.base import TrainingSet
from dilo.train.methods.moco import MoCo
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe

OURS = ["cmc", "instdisc", "moco", "naive", "simclr", "supervised"]
SMALL = load_recipe("moco-v2-small", ["model.dim=8", "moco.queue=20"])
DATA = TrainingSet(100)


def install(folder, monkeypatch, code, *, name="other", value="foreign_pretraining:Other"):
    points = f'[project.entry-points."dilo.methods"]\n{name} = "{value}"\n'
    lay_out(folder, "foreign_pretraining", code, points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "foreign_pretraining", raising=False)


def test_ours_are_named_in_order_and_imported_on_use():
    assert list(METHODS) == OURS
    assert METHODS["moco"] is MoCo
    code = (
        "import sys\n"
        "from dilo.train.methods import METHODS\n"
        "assert 'simclr' in METHODS and len(METHODS) == 6\n"
        "assert not any('dilo.train.methods.' + name in sys.modules for name in METHODS)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_gets_the_method_it_names():
    assert type(make_method(SMALL, DATA)) is MoCo


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(RecipeError, match=r"one of cmc, instdisc, .*, supervised, got 'mocko'"):
        make_method(Recipe(method="mocko"), DATA)


def test_a_script_may_add_a_method_for_its_own_process(monkeypatch):
    class Mine(MoCo):
        pass

    monkeypatch.setitem(METHODS, "mine", Mine)
    assert list(METHODS) == sorted([*OURS, "mine"])
    monkeypatch.setitem(METHODS, "moco", Mine)
    assert type(make_method(SMALL, DATA)) is Mine
    monkeypatch.undo()
    assert METHODS["moco"] is MoCo
    assert "mine" not in METHODS


@pytest.mark.parametrize(
    "code",
    [
        "from dilo.train.methods.moco import MoCo\nclass Other(MoCo): pass\n",
        "def Other(recipe, data):\n    from dilo.train.methods.moco import MoCo\n"
        "    return MoCo(recipe, data)\n",
    ],
    ids=["class", "function"],
)
def test_another_package_s_method_is_found_by_its_entry_point(tmp_path, monkeypatch, code):
    install(tmp_path, monkeypatch, code)
    assert "other" in METHODS
    assert list(METHODS) == sorted([*OURS, "other"])
    monkeypatch.setitem(METHODS, "moco", METHODS["other"])
    assert isinstance(make_method(SMALL, DATA), MoCo)


def test_a_name_of_ours_is_never_taken_from_us(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "Other = 5\n", name="moco")
    assert METHODS["moco"] is MoCo


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library\n", "of foreign_pretraining cannot be imported: ModuleNotFound"),
        ("Other = 5\n", r"of foreign_pretraining must be .*\.Method, or a function.*, got int"),
        (
            "class Other: pass\n",
            r"of foreign_pretraining must be .*\.Method, or a function.*, got type",
        ),
        ("def Other(recipe, data): pass\n", r"must make a dilo\.train\..*, got NoneType"),
    ],
)
def test_what_is_no_method_is_refused_by_name(tmp_path, monkeypatch, code, message):
    install(tmp_path, monkeypatch, code)
    with pytest.raises(DiloError, match=f"method 'other' {message}"):
        make_method(Recipe(method="other"), DATA)
