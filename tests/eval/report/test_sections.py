"""What runs are, what differs between their recipes, and which data they had."""

from dilo.eval.records.reading import Result, Source
from dilo.eval.report.content import Cell, ReportData
from dilo.eval.report.pictures import ImageStore
from dilo.eval.report.sections import provenance_table, recipes, runs_table
from dilo.eval.report.summary import warnings

STEPS = (("dilo", 7), ("moco", 9000), ("resnet", None))


def of(*runs):
    """Gather runs."""
    return ReportData(list(runs), [], ImageStore(runs[0].folder))


def rows(table):
    """Read a table: of each row its words."""

    def words(cell):
        return " ".join(filter(None, (cell.text, cell.small))) if isinstance(cell, Cell) else cell

    return {words(row[0]): [words(cell) for cell in row[1:]] for row in table.rows}


def test_only_settings_that_differ_are_listed(tmp_path):
    first = Source("a", tmp_path, recipe={"method": "moco", "paste.blend": "mix", "x": "1"})
    second = Source("b", tmp_path, recipe={"method": "moco", "paste.blend": "none"})
    section = recipes(of(first, second))
    assert rows(section["differences"]) == {"paste.blend": ["mix", "none"], "x": ["1", "\u2013"]}
    assert (section["others"], section["same"]) == (1, ["method = moco"])


def test_equal_recipes_and_unknown_ones_are_told(tmp_path):
    same = [Source(name, tmp_path, recipe={"method": "moco"}) for name in "ab"]
    section = recipes(of(*same, Source("c", tmp_path)))
    assert (section["differences"], section["several"]) == (None, True)
    assert (section["unknown"], section["data"]) == (["c"], None)


def test_data_is_compared_where_every_run_tells_it(tmp_path):
    known = [Source(n, tmp_path, facts={"data": {"images": "d" * 64}}) for n in "ab"]
    assert recipes(of(*known))["images"] == "All runs had the same list of images."
    section = recipes(of(*known, Source("c", tmp_path)))
    assert section["images"] == ""
    assert rows(section["data"]) == {"images": ["d" * 12, "d" * 12, "none"]}


def test_masks_are_named_by_how_they_were_made(tmp_path):
    facts = {"data": {"masks": "5" * 64}, "mask_store": "rbd, refined by grabcut, 64 px"}
    section = recipes(of(Source("a", tmp_path, facts=facts), Source("b", tmp_path)))
    words = f"rbd, refined by grabcut, 64 px digest {'5' * 12}"
    assert rows(section["data"]) == {"masks": [words, "none"]}


def test_a_record_of_several_checkpoints_says_the_step_of_each(tmp_path):
    each = [{"name": name, "checkpoint": f"{name}.pt", "step": step} for name, step in STEPS]
    several = {"task": "backgrounds", "checkpoint": None, "step": None, "results": each}
    alone = {"task": "knn", "checkpoint": "c.pt", "step": 1200}
    source = Source("a", tmp_path)
    for record in (several, alone):
        path = tmp_path / record["task"]
        path.touch()
        source.results.append(Result(record["task"], path, record))
    cells = {row[1]: [row[3].text, row[4]] for row in provenance_table(of(source)).rows}
    assert cells == {
        "knn": ["c.pt", "1,200"],
        "backgrounds": ["dilo.pt, moco.pt, resnet.pt", "dilo 7, moco 9,000"],
    }


def test_a_run_says_how_far_it_is(tmp_path):
    (tmp_path / "state").write_text("running\n")
    facts = {"steps": 1000, "images": 9469, "device": "cpu", "precision": "fp32", "world_size": 4}
    run = Source("a", tmp_path, facts=facts, lines=[{"step": 5}, {"step": 1200}])
    table = rows(runs_table(of(run, Source("b", tmp_path, step=0))))
    assert table["steps taken"] == ["1,200 of 1,000 (running)", "0, a checkpoint"]
    assert table["images trained on"] == ["9,469", "\u2013"]
    assert table["device"] == ["cpu, fp32, 4 processes", "\u2013"]
    assert table["commit"] == ["\u2013", "\u2013"]


def test_runs_that_began_with_other_weights_or_were_extended_are_told_apart(tmp_path):
    init = {"file": "moco.pth", "sha256": "7" * 64}
    recipe = {"optimizer.epochs": "30", "optimizer.schedule": "cosine"}
    facts = {"init": init, "extended": [{"step": 60, "epochs": 10}, {"step": 120, "epochs": 20}]}
    first = Source("a", tmp_path, facts=facts, recipe=recipe)
    second = Source("b", tmp_path, facts={"init": None, "steps": 5}, recipe=recipe)
    table, said = rows(runs_table(of(first, second))), warnings(of(first, second))
    assert table["began with"] == ["moco.pth 777777777777", "at random"]
    assert table["extended"] == ["from 10 to 20 to 30 epochs", "no"]
    assert said == [
        "training: the runs began with different weights (a moco.pth 777777777777, b at random).",
        "training: a was extended from 10 to 20 to 30 epochs, and its cosine with it: a run of as "
        "many epochs from the beginning has other learning rates.",
    ]
    plain = of(second)
    assert not {"began with", "extended"} & rows(runs_table(plain)).keys()
    assert warnings(plain) == []
