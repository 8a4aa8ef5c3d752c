"""Metrics of records: each under its name, in its unit, for the run that it is of."""

import pytest
from support.reports import CLASSES, backgrounds, knn, localize, whole_run, write_json

from dilo.eval.common.intervals import wilson
from dilo.eval.records.metrics import METRICS, metric_values
from dilo.eval.records.reading import Source, read_source


@pytest.fixture
def of(tmp_path):
    """Take the numbers of one record, of a run or of another folder."""

    def take(record, *, is_run=True, runs=()):
        write_json(tmp_path / "x" / "x.json", record)
        source = read_source("mine", tmp_path / "x", is_run=is_run)
        known = [Source(name, tmp_path) for name in runs]
        found = metric_values([source], []) if is_run else metric_values(known, [source])
        return {(n.column, n.label): n for n in found}

    return take


def test_every_number_of_a_whole_run_is_found(tmp_path):
    run = read_source("mine", whole_run(tmp_path / "run", top1=50.0), is_run=True)
    found = {n.label: n.value for n in metric_values([run], [])}
    assert found["kNN top-1, k = 20"] == 50.0
    assert found["kNN top-5, k = 1"] == 86.0
    assert found["kNN top-1 of chain saw, k = 200"] == 59.0
    assert found["linear top-1, best epoch"] == 56.0
    assert found["linear top-1, last epoch"] == 54.0
    assert found["fast linear top-1"] == 55.0
    assert found["MaxBoxAcc, cam of the true class"] == 45.0
    assert found["BG-gap"] == 12.0
    assert (
        found["answers of the background's class, on a background of the next class (mixed_next)"]
        == 11.0
    )
    # k by top-1, top-5 and classes; linear; fast; four measures of two maps; backgrounds.
    assert len(found) == 3 * (2 + len(CLASSES)) + 3 + len(CLASSES) + 2 + 2 * 4 + 6 + 1 + 2 + 1


def test_a_share_of_images_has_their_number_and_its_interval(of):
    found = of(knn(50.0))["mine", "kNN top-1, k = 20"]
    assert found.images == 3925
    assert found.interval == wilson(1962.5, 3925)
    found = of(localize("x", 45.0))
    assert found["mine", "MaxBoxAcc, cam of the true class"].images == 200
    assert found["mine", "PxAP, cam of the true class"].interval is None


def test_discovery_is_a_share_of_images_of_features_and_of_masks_without_baselines(of):
    rows = [
        {"name": name, "method": method, "baseline": baseline, "numbers": {"corloc": value}}
        for name, method, baseline, value in (
            ("mine", "features", False, 40.0),
            ("rbd", "masks", False, 35.0),
            ("baseline: whole image", "baseline", True, 20.0),
        )
    ]
    found = of({"task": "discovery", "images": 50, "methods": rows})
    by_features = found["mine", "CorLoc of one box an image, by features"]
    assert (by_features.value, by_features.images) == (40.0, 50)
    assert by_features.interval == wilson(20, 50)
    assert {label for _, label in found} == {
        f"CorLoc of one box an image, by {method}" for method in ("features", "masks")
    }


def test_an_interval_of_the_record_is_taken_as_it_is(of):
    found = of(backgrounds("x", gap=5.0))["mine", "BG-gap"]
    assert (found.value, found.interval, found.images) == (5.0, (4.0, 6.0), 800)


@pytest.mark.parametrize("images", [None, 0, -3, "many", float("nan"), 2**63])
def test_a_number_of_images_that_is_none_gives_no_interval(of, images):
    found = of(knn(50.0, test_images=images))["mine", "kNN top-1, k = 20"]
    assert (found.value, found.images, found.interval) == (50.0, None, None)


@pytest.mark.parametrize(
    "broken",
    [
        {"results": None},
        {"results": [1, None, {"k": 1}, {"top1": "high"}]},
        {"results": {"top1": 3.0}},
        {"results": [{"k": 1, "top1": float("nan")}]},
    ],
)
def test_what_a_record_lacks_is_not_there(of, broken):
    assert not of({"task": "knn", **broken})


def test_a_record_of_one_name_is_the_runs_whatever_the_name(of):
    assert {column for column, _ in of(backgrounds("another"))} == {"mine"}


def test_a_record_of_several_names_gives_each_run_its_own(of):
    found = of(backgrounds("moco", "stranger"), is_run=False, runs=["moco"])
    columns = {column for column, label in found if label == "BG-gap"}
    assert columns == {"moco", "mine: stranger"}


def test_the_maps_of_a_run_are_those_of_its_name_without_the_method(of):
    found = of(localize("moco", 45.0), is_run=False, runs=["moco"])
    assert found["moco", "MaxBoxAcc, gradient of the true class"].value == 37.0


def test_baselines_and_maps_of_no_network_are_no_numbers_of_a_run(of):
    record = localize("x", 45.0)
    record["methods"].append({"name": "rbd", "method": "maps", "numbers": {"max_box_acc": 9.0}})
    labels = {label for _, label in of(record)}
    assert {label.partition(", ")[2] for label in labels} == {
        "cam of the true class",
        "gradient of the true class",
    }


#: Every number, which way is better, and why: written by hand, not taken from the table.
DIRECTIONS = {
    **{
        ("detect", f"results.{kind}.{name}"): "more"
        for kind in ("box", "mask")
        for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")
    },
    ("detect", "per_class.box.*"): "more",
    ("discovery", "methods.*.numbers.corloc"): "more",
    ("discovery", "methods.*.numbers.overlap"): "more",
    ("knn", "results.*.top1"): "more",  # right answers
    ("knn", "results.*.top5"): "more",
    ("knn", "results.*.per_class.*"): "more",
    ("linear", "last.top1"): "more",
    ("linear", "best.top1"): "more",
    ("linear", "last.top5"): "more",
    ("linear", "per_class.*"): "more",
    ("linear-fast", "last.top1"): "more",
    ("linear-fast", "last.top5"): "more",
    ("linear-fast", "per_class.*"): "more",
    ("localize", "methods.*.numbers.max_box_acc"): "more",  # of the map, on the object
    ("localize", "methods.*.numbers.max_box_acc_v2"): "more",
    ("localize", "methods.*.numbers.pixel_ap"): "more",
    ("localize", "methods.*.numbers.corloc"): "more",
    ("localize", "methods.*.numbers.gt_known_loc"): "more",
    ("localize", "methods.*.numbers.top1_loc"): "more",
    ("localize", "methods.*.numbers.pointing_game"): "more",
    ("localize", "methods.*.numbers.energy_inside"): "more",
    ("backgrounds", "results.*.top1.original"): "more",  # the object is seen
    ("backgrounds", "results.*.top1.only_fg"): "more",
    ("backgrounds", "results.*.top1.no_fg"): None,  # right without the object: by its background
    ("backgrounds", "results.*.top1.only_bg_b"): None,
    ("backgrounds", "results.*.top1.only_bg_t"): None,
    ("backgrounds", "results.*.top1.mixed_same"): "more",
    ("backgrounds", "results.*.top1.mixed_rand"): "more",
    ("backgrounds", "results.*.top1.mixed_next"): "more",
    ("backgrounds", "results.*.bg_gap"): "less",  # what a background of the right class gives
    # Answers that are the background's, where the object is of another class.
    ("backgrounds", "results.*.follows_background.mixed_rand"): "less",
    ("backgrounds", "results.*.follows_background.mixed_next"): "less",
    ("backgrounds", "results.*.retained.only_fg"): "more",  # the object is still seen
    ("backgrounds", "results.*.retained.no_fg"): None,  # the object is gone, and the answer stays
    ("backgrounds", "results.*.retained.only_bg_b"): None,
    ("backgrounds", "results.*.retained.only_bg_t"): None,
    ("backgrounds", "results.*.retained.mixed_same"): "more",
    ("backgrounds", "results.*.retained.mixed_rand"): "more",
    ("backgrounds", "results.*.retained.mixed_next"): "more",
    ("backgrounds-retrieval", "results.*.top1"): "more",
    ("backgrounds-retrieval", "results.*.top10"): "more",
    ("backgrounds-retrieval", "results.*.median_rank"): "less",  # the first is the nearest
    ("backgrounds-retrieval", "results.*.finds_background"): "less",  # taken for the background's
    ("neighbors", "checkpoints.*.precision"): "more",  # neighbours of the same class
    ("neighbors", "checkpoints.*.accuracy"): "more",
}


def test_which_way_is_better_comes_from_what_each_number_means():
    assert {(q.task, q.path): q.better for q in METRICS} == DIRECTIONS
