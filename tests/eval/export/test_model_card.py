"""Cards: what they say is true of the file, loads it, and is no markup."""

import dataclasses
import hashlib
import json
import re

import pytest
import torch
from support import foreign
from support.checkpoints import checkpoint_content, trunk_state, write_checkpoint
from support.reports import write_json

from dilo.eval.export.export import export
from dilo.eval.export.model_card import card_text, code, json_copy
from dilo.eval.models.encoder import load_encoder
from dilo.train.augment.color import MEAN, STD
from dilo.train.recipes import load_recipe


@pytest.fixture(scope="module")
def run(module_folder):
    """Write a run of a plain ResNet-18, with results."""
    root = module_folder / "my run"
    content = checkpoint_content(trunk_state(stem="imagenet", width=1.0))
    content["dilo"] |= {"images": "a" * 64, "masks": "b" * 64, "backgrounds": ""}
    content["dilo"]["recipe"] |= {"method": "moco", "name": "dilo-v2"}
    content["dilo"]["recipe"]["model"]["stem"] = "imagenet"
    (root / "checkpoints").mkdir(parents=True)
    torch.save(content, root / "checkpoints" / "step-00000007.pt")
    (root / "run.json").write_text('{"mask_store": "rbd, refined by grabcut, 64 px"}')
    for folder, step, top1 in (("knn", 7, 61.5), ("knn-flowers", 7, 40.0), ("knn-step-0", 0, 9.0)):
        record = {"task": "knn", "step": step, "results": [{"k": 20, "top1": top1}]}
        write_json(
            root / "eval" / folder / "knn.json",
            record | {"inputs": {"test": {"folder": folder, "digest": folder}}},
        )
    return root


@pytest.fixture(scope="module")
def plain(run):
    return load_encoder(run)


@pytest.fixture(scope="module")
def encoder(module_folder):
    """Draw one a quarter as wide."""
    path = module_folder / "c.pt"
    torch.save(checkpoint_content(trunk_state(stem="imagenet")), path)
    return load_encoder(path)


def fenced(language, text):
    """Take the block of a language."""
    return re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


def test_a_card_says_what_the_network_is_and_takes_and_where_it_is_from(plain, tmp_path):
    out = tmp_path / "trunk.pth"
    card = export(plain, "torchvision", out)
    assert json.loads((tmp_path / "trunk.pth.card.json").read_text()) == card
    assert card["network"] == {
        "arch": "resnet18",
        "stem": "imagenet",
        "width": 1.0,
        "parameters": 11_176_512,  # torchvision's 11,689,512 without the classifier's 513,000
        "features": 512,
    }
    assert card["input"] == {
        "size": 32,
        "space": "rgb",
        "colours": "RGB in [0, 1], in this order",
        "channels": [0, 1, 2],
        "mean": list(MEAN),
        "std": list(STD),
        "crop": "short side to 37 px, antialiased, then the middle 32 px",
    }
    assert card["origin"] == {
        "checkpoint": "my run/checkpoints/step-00000007.pt",
        "method": "moco",
        "step": 7,
        "epoch": 1,
        "images": "a" * 64,
        "masks": "b" * 64,
        "backgrounds": None,
        "mask_store": "rbd, refined by grabcut, 64 px",
        "init": None,
        "extended": None,
    }
    assert card["recipe"] == plain.recipe | {
        "views": {"size": 32, "crop_scale": [0.2, 1.0]},
    }
    assert [(n["task"], n["name"], n["value"], n["unit"]) for n in card["numbers"]] == [
        ("knn", "kNN top-1, k = 20", 61.5, "%"),
        ("knn", "kNN top-1, k = 20 (knn-flowers)", 40.0, "%"),
    ]
    assert "| `knn` | `kNN top-1, k = 20` | 61.5 % |" in card_text(card)
    assert (card["file"], card["format"], card["tensors"]) == ("trunk.pth", "torchvision", 120)
    assert card["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card["bytes"] == out.stat().st_size


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("torchvision", 'it\'s `a` | "trunk"'),
        ("timm", "trunk"),
        ("safetensors", 'it\'s `a` | "trunk"'),
    ],
)
def test_the_lines_of_the_card_load_the_file(plain, tmp_path, monkeypatch, form, name):
    if form != "torchvision":
        pytest.importorskip(form)
    monkeypatch.chdir(tmp_path)
    ending = ".safetensors" if form == "safetensors" else ".pth"
    export(plain, form, tmp_path / f"{name}{ending}")
    text = (tmp_path / f"{name}{ending}.card.md").read_text()
    found = {}
    exec(fenced("python", text), found)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(found["network"](images), plain.network(images))


@pytest.mark.parametrize("change", [{"width": 0.5}, {"stem": "small"}])
@pytest.mark.parametrize("form", ["torchvision", "safetensors"])
def test_what_torchvision_has_not_is_loaded_by_dilo(tmp_path, monkeypatch, form, change):
    made = foreign.network(**{"width": 0.25} | change) if "stem" not in change else None
    state = trunk_state() if made is None else made.state_dict()
    torch.save({"arch": "resnet18", "state_dict": state}, tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec("\n".join(export(encoder, form, tmp_path / "x.pth")["load"]), found)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(found["encoder"].features(images), encoder.features(images))


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_timm_is_told_of_other_widths(tmp_path, monkeypatch, width):
    pytest.importorskip("timm")
    torch.save(foreign.network(width=width).state_dict(), tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec("\n".join(export(encoder, "timm", tmp_path / "x.pth")["load"]), found)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(found["network"](images), encoder.network(images))


def test_detectron2_is_told_what_its_defaults_are_not(encoder, tmp_path):
    lines = export(encoder, "detectron2", tmp_path / 'a "b".pkl')["load"]
    assert lines == [
        "MODEL:",
        '  WEIGHTS: "a \\"b\\".pkl"',
        "  PIXEL_MEAN: [123.675, 116.28, 103.53]",
        "  PIXEL_STD: [58.395, 57.12, 57.375]",
        "  RESNETS:",
        "    DEPTH: 18",
        "    STRIDE_IN_1X1: False",
        "INPUT:",
        '  FORMAT: "RGB"',
    ]


def test_mocos_script_is_given_a_name_that_no_shell_reads(encoder, tmp_path):
    (line,) = export(encoder, "moco", tmp_path / "a; b.pth.tar")["load"]
    assert line == "python main_lincls.py -a resnet18 --pretrained 'a; b.pth.tar' IMAGENET"


def test_a_strangers_card_says_what_is_known(tmp_path):
    content = foreign.moco(foreign.network().state_dict())
    torch.save(content, tmp_path / "moco.pth.tar")
    card = export(load_encoder(tmp_path / "moco.pth.tar"), "moco", tmp_path / "out.pth")
    assert card["origin"] == {"checkpoint": "moco.pth.tar", "epoch": 200} | dict.fromkeys(
        ("method", "step", "images", "masks", "backgrounds", "mask_store", "init", "extended")
    )
    assert (card["recipe"], card["numbers"]) == ({}, [])
    text = (tmp_path / "out.pth.card.md").read_text()
    assert "does not say how it was trained" in text
    assert "has no results of this checkpoint" in text


def test_what_a_training_began_with_is_told_by_the_card_and_by_every_export(tmp_path):
    content = checkpoint_content(trunk_state(stem="imagenet"))
    init = {"file": "moco.pth", "sha256": "7" * 64, "layout": "MoCo", "taken": "backbone"}
    content["dilo"]["init"] = init
    torch.save(content, tmp_path / "c.pt")
    path, words = tmp_path / "c.pt", f"moco.pth, SHA-256 {'7' * 64}"
    for name in ("first.pth", "second.pth"):
        card = export(load_encoder(path), "moco", tmp_path / name)
        assert card["origin"]["init"] == words
        path = tmp_path / name


@pytest.mark.parametrize(("half", "seen", "width"), [("l", [0], 128), ("ab", [1, 2], 128)])
def test_the_card_of_a_half_says_what_it_sees(tmp_path, half, seen, width):
    states = (foreign.network(channels=c).state_dict() for c in (1, 2))
    foreign.saved(tmp_path / "c.pt", foreign.cmc_pair(*states))
    card = export(load_encoder(tmp_path / "c.pt"), "torchvision", tmp_path / "x.pth", half=half)
    assert (card["input"]["channels"], card["network"]["features"]) == (seen, width)
    assert card["input"]["mean"] == [[50.0, 6.025, -6.6895][i] for i in seen]


def test_a_whole_recipe_is_written_as_a_file_to_train_by(tmp_path):
    recipe = load_recipe("table2a-rbd")
    content = checkpoint_content(trunk_state())
    content["dilo"]["recipe"] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    torch.save(content, tmp_path / "c.pt")
    export(load_encoder(tmp_path / "c.pt"), "torchvision", tmp_path / "x")
    text = (tmp_path / "x.card.md").read_text()
    (tmp_path / "again.toml").write_text(fenced("toml", text))
    assert load_recipe(str(tmp_path / "again.toml")) == recipe


def test_a_recipe_of_parts_is_written_as_it_is(encoder, tmp_path):
    """What it leaves out, nobody knows."""
    export(encoder, "torchvision", tmp_path / "x")
    text = (tmp_path / "x.card.md").read_text()
    assert json.loads(fenced("json", text)) == encoder.recipe


HOSTILE = "<script>alert(1)</script>`|` [x](javascript:1) ```\n# big\n| --- |"


def test_no_word_of_a_file_is_markup(tmp_path):
    def hostile(content):
        content["dilo"]["recipe"] |= {"method": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}}
        content["dilo"]["images"] = HOSTILE

    source = tmp_path / "run" / "checkpoints" / "step-00000007.pt"
    encoder = load_encoder(write_checkpoint(source, hostile))
    result = tmp_path / "run" / "eval" / "x" / "x.json"
    result.parent.mkdir(parents=True)
    result.write_text(
        json.dumps(
            {"task": "knn", "step": 7, "results": [{"k": HOSTILE, "top1": 5}], HOSTILE: HOSTILE}
        )
    )
    text = card_text(export(encoder, "torchvision", tmp_path / "<b>x`.pth"))
    fenced = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "script" in fenced
    bare = re.sub(r"`[^`\n]*`", "", fenced)
    assert not set("<>[]`") & set(bare)
    assert "alert" not in bare
    assert [line for line in bare.splitlines() if line.startswith("#")] == [
        "# ",
        *("## File", "## Network", "## Input", "## Origin", "## Loading", "## Results"),
        "## Recipe",
    ]
    before, results = fenced.split("## Results")
    for part, bars in ((before, 3), (results, 4)):
        rows = [line for line in part.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {bars}


def test_code_is_one_span_of_one_line():
    assert code("a`b|c\nd") == "`a'b\\|c d`"
    assert (code(""), code("  "), code(3.5), code([1, 2])) == ("-", "-", "`3.5`", "`[1, 2]`")


def test_what_json_cannot_hold_is_written_in_words_or_not_at_all():
    assert json_copy({"a": torch.Size([1]), 3: b"x", "ok": True}) == {
        "a": [1],
        "3": "b'x'",
        "ok": True,
    }
    assert json_copy({"a": float("nan")}) == {}
    nested = {}
    for _ in range(5_000):  # deeper than Python calls
        nested = {"x": nested}
    assert json_copy(nested) == {}
