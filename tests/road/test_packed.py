"""From packed images come the same masks and losses as from the folder, byte for byte."""

import hashlib

from support.cli import invoke
from support.photographs import photograph_folder
from support.runs import losses, machine, small_recipe

from dilo.pipeline.cli import main
from dilo.pipeline.images.archiveindex import INDEX
from dilo.train.data.images import find_image_set
from dilo.train.engine.pretrain import train


def digests(store):
    """Digest the files of a store but for the index of its images."""
    files = sorted(file for file in store.iterdir() if file.name != INDEX)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_masks_and_losses_of_packed_images_are_those_of_the_folder(tmp_path):
    folder = photograph_folder(tmp_path / "images", 13)
    (folder / "class0" / "006.jpg").write_bytes(b"torn")
    local = ("--backend", "threading", "--workers", 1)
    invoke(main, "pack", "--images", folder, "--out", tmp_path / "packed", *local)
    found = []
    for images, name in ((folder, "a"), (tmp_path / "packed", "b")):
        masks = tmp_path / f"masks-{name}"
        options = ("--size", 16, "--shard-size", 5, *local)
        invoke(main, "masks", "--images", images, "--out", masks, *options)
        train(
            small_recipe("optimizer.epochs=1"),
            find_image_set(images, masks),
            tmp_path / name,
            machine(),
            print,
        )
        found.append((digests(masks), losses(tmp_path / name)))
    assert found[0] == found[1]
