"""`dilo-train`: arguments in; exit status, words, JSON and files out."""

import dataclasses
import json
import subprocess
import sys

import pytest
from PIL import Image
from support.cli import invoke
from support.runs import SMALL, photographs_and_masks

from dilo.train.cli import main
from dilo.train.recipes import load_recipe, shipped_recipes

SET = [word for override in SMALL for word in ("--set", override)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


def train(made, *more, recipe="moco-v2-small", masks=True, status=0):
    data = ["--images", made[0], *(["--masks", made[1]] if masks else [])]
    return invoke(
        main, *data, "--recipe", recipe, "--workers", 0, "--device", "cpu", *more, status=status
    )


def test_a_run_ends_with_a_checkpoint_and_says_where(made, tmp_path):
    result = train(made, "--out", tmp_path / "run", *SET, "--json")
    found = json.loads(result.stdout)
    assert found["step"] == found["steps"] == 6
    assert (tmp_path / "run" / "checkpoints" / "step-00000006.pt").exists()
    assert (tmp_path / "run" / "recipe.toml").exists()
    assert "13 images" in result.stderr
    again = train(made, "--out", tmp_path / "run", *SET)
    assert "resuming from step 6 of 6" in again.stderr


def test_a_resolved_recipe_is_a_recipe(made, tmp_path):
    train(made, "--out", tmp_path / "a", *SET)
    train(made, "--out", tmp_path / "b", recipe=tmp_path / "a" / "recipe.toml")
    a, b = ((tmp_path / run / "recipe.toml").read_text() for run in "ab")
    assert a == b


def test_the_previews_are_pictures_and_need_no_run(made, tmp_path):
    for option in ("--preview", "--pastes"):
        train(made, option, tmp_path / "sheet.png", *SET)
        with Image.open(tmp_path / "sheet.png") as picture:
            # Two samples of four cells, and a row an image.
            assert picture.size == ((8 * 164 + 4, 724) if option == "--preview" else (660, 1444))
    train(made, "--preview", tmp_path / "v.png", "--set", "paste.probability=0", *SET, masks=False)


@pytest.mark.parametrize(
    ("more", "options", "status", "message"),
    [
        ([], {"masks": False}, 3, "pastes with probability 0.3 and needs --masks DIR, got none"),
        (
            ["--set", "moco.swap_negatives=true", "--set", "views.min_object=0.2"],
            {"masks": False},
            3,
            "pastes with probability 0.3 and has views.min_object = 0.2 and has "
            "moco.swap_negatives and needs --masks DIR, got none: make it with dilo-prep masks, "
            "or train without by --set paste.probability=0 --set views.min_object=0 --set "
            "moco.swap_negatives=false",
        ),
        ([], {"recipe": "moco"}, 3, "those that dilo-train --recipe lists, got 'moco'"),
        (["--set", "views.siez=1"], {}, 3, "unknown key views.siez"),
        (
            ["--set", "optimizer.batch=256"],
            {},
            3,
            "a batch needs at least optimizer.batch = 256 images, got 13",
        ),
        (["--workers", "-1"], {}, 2, "-1 is not in the range"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(made, tmp_path, more, options, status, message):
    result = train(made, "--out", tmp_path / "run", *more, status=status, **options)
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ("--images", ["--recipe", "moco-v2"]),
        ("--recipe", ["--images", "."]),
        ("--out", ["--images", ".", "--recipe", "moco-v2", "--set", "paste.probability=0"]),
    ],
)
def test_what_a_training_needs_is_asked_for(made, monkeypatch, left_out, words):
    monkeypatch.chdir(made[0])
    assert f"Missing option '{left_out}'" in invoke(main, *words, status=2).stderr


@pytest.mark.parametrize("words", [["--recipe"], ["--recipe", "--images", "."]])
def test_a_recipe_without_a_name_lists_those_there_are(words):
    shown = invoke(main, *words).stdout
    assert all(name in shown for name in shipped_recipes())


@pytest.mark.parametrize("name", ["moco-v2", "table2c-texture"])
def test_a_recipe_is_printed_before_any_run_and_is_one(name, tmp_path):
    words = ["--set", "optimizer.epochs=20", "--set", "options.a=x\ny = 1"]
    shown = invoke(main, "--recipe", name, *words, "--print")
    assert shown.stderr == ""
    assert shown.stdout.startswith(f"# {name} with optimizer.epochs=20, options.a=x y = 1: ")
    assert "\n# Number of epochs.\nepochs = 20\n" in shown.stdout
    (tmp_path / "mine.toml").write_text(shown.stdout)
    found = load_recipe(str(tmp_path / "mine.toml"))
    assert found == load_recipe(name, words[1::2])
    assert found.optimizer.epochs == 20
    again = invoke(main, "--recipe", tmp_path / "mine.toml", "--print").stdout
    assert again.splitlines()[1:] == shown.stdout.splitlines()[1:]


def test_a_recipe_is_printed_as_json_and_by_one_process_alone(monkeypatch):
    words = ["--recipe", "moco-v2", "--print"]
    printed = json.loads(invoke(main, *words, "--json").stdout)
    assert printed == json.loads(json.dumps(dataclasses.asdict(load_recipe("moco-v2"))))
    monkeypatch.setenv("RANK", "1")
    assert invoke(main, *words).stdout == ""


def test_what_makes_no_recipe_is_not_printed():
    assert "Missing option '--recipe'" in invoke(main, "--print", status=2).stderr
    result = invoke(main, "--recipe", "moco-v2", "--set", "views.siez=1", "--print", status=3)
    assert "unknown key views.siez" in result.stderr
    assert result.stdout == ""


def test_printing_a_recipe_imports_no_torch():
    code = (
        "import sys\n"
        "from dilo.train.cli import main\n"
        "for words in (['--recipe', 'moco-v2'], ['saliency', '--recipe', 'basnet']):\n"
        "    main([*words, '--print'], standalone_mode=False)\n"
        "assert not {'torch', 'torchvision', 'cv2'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_help_tells_every_exit_status():
    shown = invoke(main, "--help").stdout
    assert all(f"\n    {status} " in shown for status in (0, 2, 3, 75))


def test_a_run_goes_on_only_as_it_began(made, tmp_path):
    train(made, "--out", tmp_path / "run", *SET)
    changed = ["--set", "optimizer.lr=0.5"]
    result = train(made, "--out", tmp_path / "run", *SET, *changed, status=3)
    assert "optimizer.lr = 0.06, asked for 0.5" in result.stderr
    result = train(
        made, "--out", tmp_path / "run", *SET, "--set", "paste.probability=0", masks=False, status=3
    )
    assert "paste.probability = 0.3, asked for 0" in result.stderr


def test_without_torch_the_program_says_what_to_install(tmp_path):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, p=None: None if 'torch' in n else real(n, p)\n"
        "from dilo.{package}.__main__ import main\n"
        "main()\n"
    )
    train, test = tmp_path / "train", tmp_path / "test"
    train.mkdir()
    test.mkdir()
    folders = ["--checkpoint", tmp_path, "--train", train, "--test", test]
    for package, words in (("train", ["--help"]), ("eval", ["knn", *folders])):
        program = [sys.executable, "-c", code.replace("{package}", package), *words]
        shown = subprocess.run(program, capture_output=True, text=True, check=False)
        assert shown.returncode == 3
        assert f"dilo-{package} needs torch" in shown.stderr
        assert "pip install 'dilo[train]'" in shown.stderr
        assert "Traceback" not in shown.stderr
