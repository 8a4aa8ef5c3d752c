"""The plan: what a store holds, and the refusal of anything else."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.errors import StoreError
from dilo.pipeline.names import Names
from dilo.pipeline.plan import Plan, default_shard_size, load_names
from dilo.pipeline.planning import start_store

NAMES = Names([f"{i}.jpg" for i in range(10)])
PLAN = Plan(
    kind="masks",
    method="rbd",
    parameters={"a": 1.5, "b": [1, 2]},
    size=16,
    shard_size=4,
    images=10,
    digest=NAMES.digest(),
)


@given(st.integers(1, 3_000_000))
def test_shards_share_out_every_image_once(images):
    plan = dataclasses.replace(PLAN, images=images, shard_size=default_shard_size(images))
    edges = [0, *(plan.rows(s).stop for s in range(plan.shards))]
    assert edges[-1] == images
    assert [plan.rows(s).start for s in range(plan.shards)] == edges[:-1]
    assert all(len(plan.rows(s)) for s in range(plan.shards))


def test_shard_size_suits_small_and_large():
    assert [default_shard_size(n) for n in (1, 500, 9469, 1_281_167)] == [1, 8, 148, 1000]


def test_a_plan_survives_its_file(tmp_path):
    start_store(tmp_path, PLAN, NAMES)
    assert Plan.load(tmp_path) == PLAN
    assert load_names(tmp_path, PLAN) == NAMES


CHANGES = {
    "kind": "other",
    "method": "gs",
    "parameters": {"a": 2},
    "size": 8,
    "shard_size": 5,
    "images": 9,
    "digest": "0" * 64,
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Plan)])
def test_every_field_counts(tmp_path, field):
    changed = dataclasses.replace(PLAN, **{field: CHANGES[field]})
    assert changed.fingerprint() != PLAN.fingerprint()
    start_store(tmp_path, PLAN, NAMES)
    shown = {"digest": "other names", "parameters": "a 1.5.* asked for a 2"}.get(field, field)
    with pytest.raises(StoreError, match=rf"plan.json says .*{shown}.*fresh folder"):
        start_store(tmp_path, changed, NAMES)


def test_the_same_plan_is_welcome_twice(tmp_path):
    start_store(tmp_path, PLAN, NAMES)
    start_store(tmp_path, PLAN, NAMES)


def test_shards_without_a_plan_are_not_adopted(tmp_path):
    (tmp_path / "shard-00000.h5").touch()
    with pytest.raises(StoreError, match=r"shards but no plan.json"):
        start_store(tmp_path, PLAN, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "got no plan.json"),
        ("{", "must be a plan"),
        ("[]", "must be a plan"),
        ("{}", "must be a plan"),
        ('{"format": 1}', "must be a plan"),
        ('{"format": 2}', "format 1, got 2"),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        Plan.load(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("size", 2.5), ("shard_size", 0), ("images", "9")])
def test_a_number_that_was_damaged_is_refused(tmp_path, field, value):
    start_store(tmp_path, PLAN, NAMES)
    fields = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(
        StoreError, match=rf"wrote: {field} must be a positive number, got {value!r}"
    ):
        Plan.load(tmp_path)


def test_a_kind_that_is_not_known_is_refused(tmp_path):
    start_store(tmp_path, PLAN, NAMES)
    text = (tmp_path / "plan.json").read_text().replace('"masks"', '"sounds"')
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(StoreError, match="kind must be one of masks, backgrounds, got 'sounds'"):
        Plan.load(tmp_path)


def test_a_list_of_other_images_is_refused(tmp_path):
    start_store(tmp_path, PLAN, NAMES)
    (tmp_path / "images.txt").write_text("1.jpg\n")
    with pytest.raises(StoreError, match="got another one of 1"):
        load_names(tmp_path, PLAN)


def test_the_plan_is_json_that_people_can_read(tmp_path):
    start_store(tmp_path, PLAN, NAMES)
    fields = json.loads((tmp_path / "plan.json").read_text())
    assert fields["method"] == "rbd"
    assert fields["parameters"] == {"a": 1.5, "b": [1, 2]}
