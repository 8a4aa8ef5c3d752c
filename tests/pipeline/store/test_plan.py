"""The plan: what a store holds, and the refusal of anything else."""

import dataclasses
import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cli import invoke

from dilo.pipeline.cli import main
from dilo.pipeline.errors import AccessError, StoreError
from dilo.pipeline.images.names import Names
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.create import create_store
from dilo.pipeline.store.plan import Plan, default_shard_size, load_names

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


def test_a_shard_holds_a_few_dozen_images_at_least_and_a_thousand_at_most():
    sizes = [default_shard_size(n) for n in (1, 56, 500, 9469, 1_281_167)]
    assert sizes == [32, 32, 32, 148, 1000]


def test_a_plan_survives_its_file(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    assert Plan.load(tmp_path) == PLAN
    assert load_names(tmp_path, PLAN) == NAMES


def test_a_plan_says_in_words_how_its_masks_were_made():
    assert PLAN.describe() == "rbd, 16 px"
    refined = dataclasses.replace(PLAN, parameters={"refine": {"method": "grabcut"}})
    assert refined.describe() == "rbd, refined by grabcut, 16 px"


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
    create_store(tmp_path, PLAN, NAMES)
    shown = {"digest": "other names", "parameters": "a 1.5.* asked for a 2"}.get(field, field)
    with pytest.raises(StoreError, match=rf"plan.json says .*{shown}.*new folder"):
        create_store(tmp_path, changed, NAMES)


def test_the_same_plan_is_welcome_twice(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    create_store(tmp_path, PLAN, NAMES)


def test_shards_without_a_plan_are_not_adopted(tmp_path):
    (tmp_path / "shard-00000.h5").touch()
    with pytest.raises(StoreError, match=r"shards but no plan.json"):
        create_store(tmp_path, PLAN, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "got no plan.json"),
        ("{", "must be a plan"),
        ("[" * 200_000, r"plan.json must be a plan that dilo-prep wrote: must be JSON, got br"),
        ("[]", "must be a plan that dilo-prep wrote: got JSON without its format"),
        ("{}", "must be a plan"),
        ('{"format": 2}', "must be a plan"),
        ('{"format": 1}', "format 2, got 1"),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        Plan.load(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("size", 2.5), ("shard_size", 0), ("images", "9")])
def test_a_number_that_was_damaged_is_refused(tmp_path, field, value):
    create_store(tmp_path, PLAN, NAMES)
    fields = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(
        StoreError, match=rf"wrote: {field} must be a positive number, got {value!r}"
    ):
        Plan.load(tmp_path)


HOSTILE = {
    "images beyond the list": {"images": 11},
    "2**40 images": {"images": 2**40, "shard_size": 1},
    "more than that": {"images": 2**63},
    "a shard of two billion bytes": {"size": 16_384, "shard_size": 10},
    "a size beyond any image": {"size": 16_385},
    "true for a number": {"size": True},
    "a fraction": {"size": 16.0},
    "nothing": {"shard_size": None},
    "text for parameters": {"parameters": "none"},
    "a list for parameters": {"parameters": [1]},
    "a number for a refinement": {"parameters": {"refine": 3}},
    "a refinement without a method": {"parameters": {"refine": {}}},
    "a list for a method": {"method": ["rbd"]},
    "a short digest": {"digest": "ab"},
    "a number for a digest": {"digest": 7},
    "an unknown key": {"colour": "red"},
    "a list for a kind": {"kind": ["masks"]},
    "a list for a format": {"format": [1]},
}


def every_reader(store):
    """List what reads a store, by what a user calls it."""
    commands = [("status", store), ("status", store, "--missing"), ("verify", store)]
    commands += [("preview", store, "--images", store, "--out", store / "x.png")]
    commands += [("export", store, "--out", store / "out")]
    for words in commands:
        yield lambda words=words: invoke(main, *words, status=3).stderr
    with pytest.raises(StoreError) as refusal:
        MaskStore(store)
    yield lambda: f"Error: {refusal.value}\n"


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
def test_a_plan_that_says_what_none_can_is_one_sentence_to_every_reader(tmp_path, fields):
    create_store(tmp_path, PLAN, NAMES)
    whole = json.loads(PLAN.text()) | fields
    (tmp_path / "plan.json").write_text(json.dumps(whole, indent=2, sort_keys=True) + "\n")
    for said in every_reader(tmp_path):
        words = said()
        assert words.startswith(f"Error: {tmp_path}/")
        assert words.count("\n") == 1
        assert "must " in words


@pytest.mark.parametrize(
    "text",
    [
        PLAN.text().replace('"size": 16', f'"size": {"9" * 4000}'),
        PLAN.text().replace('"size": 16', f'"size": {"[" * 400}{"]" * 400}'),
        PLAN.text().replace('"b"', f'"c": {"[" * 900}{"]" * 900}, "b"'),
        "[" * 200_000,
        "\ud800",
    ],
    ids=["4000 digits", "400 deep for a number", "900 deep", "200000 deep", "a half character"],
)
def test_a_plan_of_any_text_is_a_sentence(tmp_path, text):
    (tmp_path / "plan.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(StoreError, match=r"plan.json must be"):
        Plan.load(tmp_path)


def test_a_pipe_for_a_plan_or_a_list_is_not_waited_for(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    for name in ("images.txt", "plan.json"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(StoreError, match="must be a regular file"):
            MaskStore(tmp_path)


@pytest.mark.parametrize(
    "retyped",
    [
        PLAN.text().replace("  ", "\t"),
        PLAN.text().replace("\n", "\r\n"),
        PLAN.text().removesuffix("\n"),
        "\ufeff" + PLAN.text(),
    ],
    ids=["tabs", "carriage returns", "no last line feed", "a mark"],
)
def test_a_plan_that_was_typed_anew_is_refused_by_every_reader_until_it_is_written_anew(
    tmp_path, retyped
):
    create_store(tmp_path, PLAN, NAMES)
    (tmp_path / "plan.json").write_text(retyped, newline="")
    for said in every_reader(tmp_path):
        assert "must be the bytes that dilo-prep wrote" in said() or "\ufeff" in retyped
    if "\ufeff" not in retyped:
        create_store(tmp_path, PLAN, NAMES)
        assert (tmp_path / "plan.json").read_text() == PLAN.text()
        assert Plan.load(tmp_path) == PLAN


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", ["plan.json", "images.txt"])
def test_a_plan_or_list_that_the_system_does_not_give_is_not_called_damaged(
    tmp_path, monkeypatch, name, number
):
    create_store(tmp_path, PLAN, NAMES)
    really = os.open

    def refusing(path, *more, **options):
        if os.fspath(path).endswith(name):
            raise OSError(number, os.strerror(number), path)
        return really(path, *more, **options)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(AccessError, match=rf"{name}: {os.strerror(number)}: ") as refusal:
        MaskStore(tmp_path)
    assert refusal.value.errno == number
    before = (tmp_path / name).stat().st_ino
    with pytest.raises(AccessError):  # no reason to write it anew either
        create_store(tmp_path, PLAN, NAMES)
    assert (tmp_path / name).stat().st_ino == before


@pytest.mark.parametrize(
    "line",
    [r"\q", r"\x4", r"a\x62.jpg", "", "../a.jpg", "/etc/a.jpg", "a//b.jpg", "a\0.jpg", "a\x1b.jpg"],
)
def test_a_list_of_what_is_no_path_below_a_folder_is_refused(tmp_path, line):
    text = f"fine.jpg\n{line}\n".encode()
    names = Names.of_text(text)
    plan = dataclasses.replace(PLAN, images=2, digest=names.digest())
    (tmp_path / "plan.json").write_text(plan.text())
    (tmp_path / "images.txt").write_bytes(text)
    with pytest.raises(StoreError, match=r"images.txt: .*make a store whose list names images"):
        load_names(tmp_path, plan)


def test_a_kind_that_is_not_known_is_refused(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    text = (tmp_path / "plan.json").read_text().replace('"masks"', '"sounds"')
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(
        StoreError, match="kind must be one of masks, backgrounds, images, got 'sounds'"
    ):
        Plan.load(tmp_path)


def test_a_list_of_other_images_is_refused(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    (tmp_path / "images.txt").write_text("1.jpg\n")
    with pytest.raises(StoreError, match="got another one of 1"):
        load_names(tmp_path, PLAN)


def test_the_plan_is_json_that_people_can_read(tmp_path):
    create_store(tmp_path, PLAN, NAMES)
    fields = json.loads((tmp_path / "plan.json").read_text())
    assert fields["method"] == "rbd"
    assert fields["parameters"] == {"a": 1.5, "b": [1, 2]}
