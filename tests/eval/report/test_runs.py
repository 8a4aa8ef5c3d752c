"""What runs are, what differs between their recipes, and whether their data is the same."""

from support.pages import Page

from dilo.eval.records.reading import Source
from dilo.eval.report.gathered import gather
from dilo.eval.report.runs import recipes_section, runs_section


def text(make, *sources, folder):
    """Make a section of runs, and read it."""
    body = make(gather(list(sources), [], folder)).body
    return Page(body.replace("</td>", "|</td>").replace("</th>", "|</th>")).text


def test_only_settings_that_differ_are_listed(tmp_path):
    first = Source("a", tmp_path, recipe={"method": "moco", "paste.blend": "mix", "x": "1"})
    second = Source("b", tmp_path, recipe={"method": "moco", "paste.blend": "none"})
    told = text(recipes_section, first, second, folder=tmp_path)
    assert "setting|a|b| paste.blend|mix|none|x|1|\u2013|".replace(" ", "") in told.replace(" ", "")
    assert "The other is the same." in told
    assert "In all of them method = moco." in told


def test_equal_recipes_and_unknown_ones_are_told(tmp_path):
    same = [Source(name, tmp_path, recipe={"method": "moco"}) for name in "ab"]
    told = text(recipes_section, *same, Source("c", tmp_path), folder=tmp_path)
    assert "No setting differs." in told
    assert "No recipe known: c (no run.json and no recipe.toml)." in told
    assert "No run tells digests of its data." in told


def test_data_is_compared_where_every_run_tells_it(tmp_path):
    known = [Source(n, tmp_path, facts={"data": {"images": "d" * 64}}) for n in "ab"]
    assert "All runs had the same list of images." in text(recipes_section, *known, folder=tmp_path)
    told = text(recipes_section, *known, Source("c", tmp_path), folder=tmp_path)
    assert "same list of images" not in told
    assert f"images|{'d' * 12}|{'d' * 12}|none|" in told


def test_a_run_says_how_far_it_is(tmp_path):
    (tmp_path / "state").write_text("running\n")
    facts = {"steps": 1000, "images": 9469, "device": "cpu", "precision": "fp32", "world_size": 4}
    run = Source("a", tmp_path, facts=facts, lines=[{"step": 5}, {"step": 1200}])
    told = text(runs_section, run, folder=tmp_path)
    assert "steps taken|1,200 of 1,000 (running)|" in told
    assert "images trained on|9,469|" in told
    assert "device|cpu, fp32, 4 processes|" in told
    assert "commit|\u2013|" in told
