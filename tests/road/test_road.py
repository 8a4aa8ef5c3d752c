"""The whole road on a CPU in seconds: photographs, masks, backgrounds, training, kNN."""

import json

from support.cli import invoke
from support.photographs import photograph_folder

from dilo.eval.cli import main as dilo_eval
from dilo.pipeline.cli import main as dilo_prep
from dilo.train.cli import main as dilo_train

RECIPE = (
    "model.dim=16",
    "moco.queue=16",
    "model.bn_groups=2",
    "views.size=24",
    "optimizer.batch=8",
    "optimizer.epochs=3",
    "paste.probability=0.5",
    "paste.backgrounds.crops=1",
    "paste.backgrounds.textures=1",
    "paste.backgrounds.noise=1",
)


def test_from_a_folder_of_photographs_to_a_number(tmp_path):
    images = photograph_folder(tmp_path / "train", 20)
    (images / "class1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a picture")
    test = photograph_folder(tmp_path / "test", 6)
    masks, run = tmp_path / "masks", tmp_path / "run"

    made = invoke(dilo_prep, "masks", "--images", images, "--out", masks, "--size", 48, "--json")
    assert list(json.loads(made.stdout)["failed"]) == ["class1/broken.jpg"]
    invoke(dilo_prep, "verify", masks)

    crops, textures = tmp_path / "crops", tmp_path / "textures"
    kind = (dilo_prep, "backgrounds", "--kind")
    settings = ("--min-side", 8, "--backend", "threading")
    cut = invoke(*kind, "crops", "--images", images, "--masks", masks, "--out", crops, *settings)
    assert "20 backgrounds from 20 images" in cut.stdout
    invoke(
        *kind,
        "textures",
        "--images",
        test,
        "--out",
        textures,
        "--size",
        24,
        "--backend",
        "threading",
    )
    for store in (crops, textures):
        invoke(dilo_prep, "verify", store)

    options = [word for override in RECIPE for word in ("--set", override)]
    trained = invoke(
        dilo_train,
        *("--images", images, "--masks", masks, "--recipe", "moco-v2-small", "--out", run),
        *("--backgrounds", crops, "--backgrounds", textures),
        *("--device", "cpu", "--workers", 0, "--json", *options),
    )
    assert json.loads(trained.stdout)["step"] == 6
    assert "1 skipped because they cannot be read" in trained.stderr

    for checkpoint in (run / "checkpoints" / "step-00000000.pt", run):
        found = invoke(
            dilo_eval,
            *("knn", "--checkpoint", checkpoint, "--train", images, "--test", test),
            *("--k", 1, "--k", 5, "--workers", 0, "--device", "cpu", "--json"),
        )
        record = json.loads(found.stdout)
        assert [result["k"] for result in record["results"]] == [1, 5]
        assert record["train_images"] == 20
        assert record["test_images"] == 6
        assert len(record["skipped"]) == 1
