"""Options that commands share: their spellings, and NAME=PATH."""

import click
import pytest
from support.cli import invoke

from dilo.eval.cli import main
from dilo.eval.cli.options import named_checkpoints, named_folders

#: The commands whose checkpoints need a classifier.
CLASSIFIED = ("localize", "backgrounds", "gradients")


def given(callback, *values, status=0):
    """Read the values of an option."""
    found = []

    @click.command()
    @click.option("--x", multiple=True, callback=callback)
    def command(x):
        found.extend(x)

    words = [word for value in values for word in ("--x", value)]
    result = invoke(command, *words, status=status)
    return found if status == 0 else " ".join(result.stderr.split())


@pytest.fixture
def run(tmp_path):
    """Write two checkpoints of a run, a classifier of it, and a file elsewhere."""
    for name in ("checkpoints/step-1.pt", "checkpoints/step-2.pt", "eval/linear/classifier.pth"):
        path = tmp_path / "runs" / "dilo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "resnet50=v2.pth").touch()
    return tmp_path / "runs" / "dilo"


def test_a_checkpoint_is_called_as_it_is_told_or_by_its_run(run, tmp_path):
    files = [run, run / "checkpoints" / "step-1.pt", run / "eval" / "linear" / "classifier.pth"]
    for path in files:
        assert given(named_checkpoints, path) == [("dilo", path)]
        assert given(named_checkpoints, f"My run={path}") == [("My run", path)]
    other = tmp_path / "resnet50=v2.pth"
    assert given(named_checkpoints, other) == [("resnet50=v2", other)]


def test_two_of_one_name_are_refused_and_names_tell_them_apart(run):
    first, second = (run / "checkpoints" / f"step-{i}.pt" for i in (1, 2))
    words = given(named_checkpoints, first, second, status=2)
    assert "must have its own name, got dilo twice: give NAME=" in words
    assert given(named_checkpoints, f"a={first}", second)[1] == ("dilo", second)


def test_what_is_not_there_or_has_no_name_is_refused(run):
    words = given(named_checkpoints, "x=nowhere", status=2)
    assert "must be a PATH, or NAME=PATH, got x=nowhere: not found" in words
    assert "a name must be printable letters" in given(named_checkpoints, f"={run}", status=2)
    file = run / "checkpoints" / "step-1.pt"
    assert "not found" in given(named_folders, file, status=2)


@pytest.mark.parametrize(
    ("command", "spelling", "option"),
    [
        ("saliency", "--jobs", "--workers"),
        *((name, "--classifier", "--checkpoint") for name in CLASSIFIED),
        *((name, "--output", "--out") for name in main.commands),
    ],
)
def test_other_spellings_of_an_option_are_taken_but_not_listed(command, spelling, option):
    options = main.commands[command].params
    assert [o.aliases for o in options if option in o.opts] == [[spelling]]
    assert f"{spelling} " not in invoke(main, command, "--help").stdout
