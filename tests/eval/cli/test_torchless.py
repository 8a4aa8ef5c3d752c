"""Every command of `dilo-eval` that needs torch says so where there is none; help needs none."""

import subprocess
import sys

import click
import pytest
from support.cli import invoke

from dilo.eval.cli import main
from dilo.pipeline.common import extras

#: Commands that do without.
WITHOUT = {"saliency", "report", "table"}
#: What the file is called that a command writes.
SUFFIX = {"features": ".h5", "export": ".pth"}
#: What a command needs besides the options that it cannot do without.
BESIDES = {
    "backgrounds": ("classifiers", "images", "masks"),
    "detect": ("voc",),
    "knn": ("checkpoints",),
    "localize": ("classifiers", "truth"),
}


def argument(option: click.Parameter, folder, name) -> str:
    """Give an option something that it takes: another folder or file for each."""
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    path = folder / option.name
    if "NAME=" in str(option.metavar):  # its callback wants something that is there
        path.mkdir()
        return str(path)
    if not isinstance(option.type, click.Path):
        return "1"
    if option.type.exists and option.type.file_okay and not option.type.dir_okay:
        path.touch()
    elif option.type.exists:
        path.mkdir()
    return str(path.with_suffix(SUFFIX.get(name, "") if option.name == "out" else ""))


@pytest.mark.parametrize("name", sorted(set(main.commands) - WITHOUT))
def test_without_torch_a_command_exits_with_3_and_says_how_to_get_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    besides = BESIDES.get(name, ())
    options = main.commands[name].params
    needed = [option for option in options if option.required or option.name in besides]
    words = [word for o in needed for word in (o.opts[0], argument(o, tmp_path, name))]
    result = invoke(main, name, *words, status=3)
    assert result.stderr == "Error: dilo-eval needs torch: pip install 'dilo[train]'\n"
    assert result.stdout == ""


def test_no_help_imports_torch():
    code = (
        "import sys; from click.testing import CliRunner; from dilo.eval.cli import main\n"
        "for name in main.commands:\n"
        "    result = CliRunner().invoke(main, [name, '--help'], catch_exceptions=False)\n"
        "    assert (result.exit_code, 'torch' in sys.modules) == (0, False), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
