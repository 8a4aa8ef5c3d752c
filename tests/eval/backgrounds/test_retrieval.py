"""Retrieval across backgrounds: by networks that see the object alone, or the background alone."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from support.backgrounds import built
from support.checkpoints import checkpoint_content, trunk_state
from support.cli import invoke
from support.reliance import OBJECT, SIDE, SIZE, Border, Middle, mask_store, object_mask

from dilo.eval.backgrounds.classify import RunOptions
from dilo.eval.backgrounds.queries import Queries, QueryRecipe, held
from dilo.eval.backgrounds.retrieval import query_features, rank_queries, retrieval_results
from dilo.eval.backgrounds.variations import select
from dilo.eval.cli import main
from dilo.eval.features.features import extract_features
from dilo.eval.features.folders import any_folder
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore

CPU = torch.device("cpu")
COUNT = 12


def scenes(root, count=COUNT):
    """Write objects before backgrounds, each in a colour of its own, and their masks; flat."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for number in range(count):
        pixels = np.empty((SIDE, SIDE, 3), np.uint8)
        pixels[:] = rng.integers(0, 255, 3)
        pixels[OBJECT, OBJECT] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(root / "images" / f"{number:02d}.png")
    names = [f"{number:02d}.png" for number in range(count)]
    return root / "images", mask_store(root / "masks", dict.fromkeys(names, object_mask()))


def queries_of(images, masks, size=SIZE, **recipe):
    folder, store = any_folder(images), MaskStore(masks)
    selection = select(folder, store)
    return Queries(folder, store, selection, selection.positions, QueryRecipe(**recipe), size)


def retrieve(images, masks, *networks, sizes=(SIZE,), **recipe):
    """Let networks find the photographs; give the results by name, and the ranks."""
    encoders = {
        f"{type(network).__name__} {size}": Encoder(network.eval(), size, images, space="unit")
        for network in networks
        for size in sizes
    }
    for encoder in encoders.values():  # only of a network with weights is the device known
        encoder.network.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
    parts = []
    for size in sizes:
        those = {name: encoder for name, encoder in encoders.items() if encoder.size == size}
        queries = queries_of(images, masks, size, **recipe)
        parts.append(query_features(those, queries, RunOptions(batch=5, device=CPU), print))
    banks = {n: extract_features(e, queries.folder) for n, e in encoders.items()}
    retrieval = rank_queries(queries.folder, queries.recipe, banks, parts, CPU)
    return retrieval_results(encoders, retrieval), retrieval


def test_what_sees_the_object_finds_every_photograph_and_what_sees_the_background_finds_its_own(
    tmp_path,
):
    record, _ = retrieve(*scenes(tmp_path), Middle(), Border(), crop=1)
    middle, border = record["results"]
    assert (middle["images"], record["photographs"]) == (COUNT, COUNT)
    assert (middle["top1"]["value"], middle["median_rank"]["value"]) == (100.0, 1)
    assert middle["finds_background"]["value"] == 0.0
    # Every query has the background of another photograph, so that its own is never the first.
    assert (border["top1"]["value"], border["finds_background"]["value"]) == (0.0, 100.0)
    (pair,) = record["pairs"]
    assert (pair["top1"]["value"], pair["top1"]["images"]) == (100.0, COUNT)


def test_on_gray_nothing_is_left_of_a_background(tmp_path):
    record, _ = retrieve(*scenes(tmp_path), Middle(), Border(), crop=1, backgrounds="gray")
    middle, border = record["results"]
    assert middle["top1"]["value"] == 100.0
    assert border["top1"]["low"] < record["chance"]["top1"] < border["top1"]["high"]
    assert "finds_background" not in border


def test_pictures_of_a_store_lie_behind_and_none_of_the_photograph_itself(tmp_path):
    images, masks = scenes(tmp_path, count=3)
    store = BackgroundStore(built(images, tmp_path / "store", BackgroundRecipe(kind="images")))
    queries = queries_of(images, masks, crop=1, backgrounds=store)
    corners = [queries[index][1].pictures[0, :, 0, 0].int() for index in range(3)]
    photographs = [decode(images / f"{number:02d}.png")[0, 0].astype(int) for number in range(3)]
    for number, corner in enumerate(corners):
        near = [np.abs(corner.numpy() - colour).max() < 8 for colour in photographs]  # by JPEG
        assert sum(near) == 1
        assert not near[number]


def test_images_of_a_folder_are_one_photograph_none_of_which_lends_a_background(tmp_path):
    flat, _ = scenes(tmp_path, count=6)
    images, names = tmp_path / "folders", [f"{number % 3}/{number}.png" for number in range(6)]
    for number, name in enumerate(names):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes((flat / f"{number % 3:02d}.png").read_bytes())
    masks = mask_store(tmp_path / "their-masks", dict.fromkeys(sorted(names), object_mask()))
    recipe = {"same": "folder", "questions": 5}
    record, retrieval = retrieve(images, masks, Middle(), Border(), crop=1, **recipe)
    middle, border = record["results"]
    assert (record["candidates"], record["photographs"], middle["images"]) == (6, 3, 6)
    assert (middle["top1"]["value"], middle["top1"]["images"]) == (100.0, 3)
    assert border["finds_background"]["value"] == 100.0
    donors = retrieval.donors[f"Middle {SIZE}"]
    assert donors.shape == (6, 5)
    assert len(np.unique(donors)) == 6
    own = np.array(retrieval.positions)[:, None]
    assert (retrieval.photographs[donors] != retrieval.photographs[own]).all()
    # Of an image alone, the copy in its folder is another photograph that is as similar.
    alone, _ = retrieve(images, masks, Middle(), crop=1)
    assert alone["results"][0]["top1"]["value"] == 0.0


def test_the_first_query_of_an_image_is_that_of_one_alone(tmp_path):
    paths = scenes(tmp_path)
    several, alone = queries_of(*paths, questions=3)[4][1], queries_of(*paths)[4][1]
    assert several.pictures.shape == (3, 3, SIZE, SIZE)
    assert torch.equal(several.pictures[:1], alone.pictures)
    assert not torch.equal(several.pictures[0], several.pictures[1])


def test_networks_of_two_sizes_are_asked_for_the_same_photographs(tmp_path):
    record, retrieval = retrieve(*scenes(tmp_path), Middle(), sizes=(SIZE, 2 * SIZE), crop=1)
    small, large = record["results"]
    assert (small["size"], large["size"]) == (SIZE, 2 * SIZE)
    assert small["images"] == large["images"] == COUNT
    first, second = retrieval.donors.values()
    assert np.array_equal(first, second)


def test_queries_are_the_same_whoever_is_asked_and_another_seed_draws_others(tmp_path):
    paths = scenes(tmp_path)

    def pictures(**recipe):
        queries = queries_of(*paths, **recipe)
        return torch.stack([query.pictures for _, query in map(queries.__getitem__, range(COUNT))])

    assert torch.equal(pictures(seed=3), pictures(seed=3))
    assert not torch.equal(pictures(seed=3), pictures(seed=4))
    some = queries_of(*paths, seed=3)
    some.positions = some.positions[6:]
    assert torch.equal(some[0][1].pictures, pictures(seed=3)[6])


def test_a_crop_holds_half_of_the_foreground(tmp_path):
    queries = queries_of(*scenes(tmp_path), crop=0.05)
    draws = [queries.recipe.draw(1, view, (SIDE, SIDE), SIZE) for view in range(200)]
    shares = [held(object_mask(), draw, (SIDE, SIDE)) for draw in draws]
    assert (min(shares), max(shares)) == (0, 1)  # so that draws must be chosen from
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for position in range(COUNT):
        _, alpha = queries._foreground(position, image, 0)
        assert alpha.float().mean() / 255 > 0.9 * 0.5 * 64 / SIDE**2


def test_a_mask_of_a_corner_is_measured_in_whole_cells():
    mask = np.zeros((10, 10), np.uint8)
    mask[:5, :5] = 200
    whole = QueryRecipe(crop=1).draw(0, 0, (100, 50), 8)
    assert whole.box == (28, 3, 44, 44)
    assert held(mask, whole, (100, 50)) == pytest.approx((5 - 3) * (5 - 1) / 25)


def test_photographs_that_cannot_be_used_are_skipped_and_listed(tmp_path):
    images, masks = scenes(tmp_path)
    (images / "00.png").write_bytes(b"")
    (images / "new.png").write_bytes((images / "01.png").read_bytes())
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    content = checkpoint_content(trunk_state(), size=SIDE)
    torch.save(content, run / "checkpoints" / "step-00000007.pt")
    words = ("--checkpoint", run, "--images", images, "--masks", masks, "--device", "cpu")
    words = ("backgrounds", "--retrieval", *words, "--workers", 0)
    record = json.loads(invoke(main, *words, "--json").stdout)
    reasons = {image["path"]: image["reason"] for image in record["skipped"]}
    assert reasons.keys() == {"00.png", "new.png"}
    assert reasons["new.png"] == "no mask in the store"
    (result,) = record["results"]
    # The one without a mask is asked for by nobody, and may be taken for another.
    assert (result["images"], record["photographs"]) == (COUNT - 1, COUNT)
    out = run / "eval" / "backgrounds-retrieval"
    assert json.loads((out / "backgrounds-retrieval.json").read_text()) == record
    assert (out / "retrieval.png").stat().st_size > 1000
    head, *lines = csv.reader((out / "per-image.csv").read_text().splitlines())
    assert (head, len(lines)) == (["image", "question", "run"], COUNT - 1)
    assert lines[0][:2] == ["01.png", "0"]
    found = sum(rank == "1" for _, _, rank in lines)
    assert 100 * found / len(lines) == result["top1"]["value"]
    again = invoke(main, *words, "--batch", 4)
    table = (out / "table.txt").read_text()
    assert again.stdout == table
    assert table.startswith(f"{COUNT - 1} foregrounds on the backgrounds of others, each looked")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--retrieval", "--images", "."), "--retrieval needs --images DIR and"),
        (("--retrieval", "--variations", "no_fg"), "not --challenge, --mapping or --variations"),
        (("--crop", "0.5"), "--crop is for --retrieval only"),
        (("--retrieval", "--backgrounds", "grey"), "must be images, gray or the folder"),
    ],
    ids=["without", "variations", "crop", "backgrounds"],
)
def test_options_of_the_two_ways_are_not_mixed(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").touch()
    result = invoke(main, "backgrounds", "--checkpoint", "x=x.pth", *words, status=2)
    assert message in " ".join(result.stderr.split())
