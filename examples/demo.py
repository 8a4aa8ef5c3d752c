"""The whole road on nine photographs that scikit-image ships: masks, training, a number.

Everything runs through the three programs, as on one's own data; each command is shown.
The one thing made here is the question at the end: does a fresh crop of a photograph,
on a background that it never had, find its own photograph again?
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore
from dilo.train.augment.paste import paste
from dilo.train.data.crop import crop
from dilo.train.data.draws import view_draw
from dilo.train.recipes import load_recipe

RECIPE = Path(__file__).with_name("demo.toml")
PHOTOGRAPHS = {
    "astronaut": skimage.data.astronaut,
    "cameraman": skimage.data.camera,
    "cat": skimage.data.cat,
    "clock": skimage.data.clock,
    "coffee": skimage.data.coffee,
    "coins": skimage.data.coins,
    "horse": lambda: np.uint8(255) * skimage.data.horse(),
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
    "rocket": skimage.data.rocket,
}
TEXTURES = {
    "brick": skimage.data.brick,
    "grass": skimage.data.grass,
    "gravel": skimage.data.gravel,
}
#: Pictures cut of each photograph for training, and fresh ones to ask about.
PICTURES, FRESH = 24, 20
#: An epoch that no training reaches, so that its draws are fresh.
FRESH_EPOCH = 1_000_000
#: Longest side of a picture, in pixels.
SIDE = 256


def main() -> None:
    """Make the pictures, run the three programs, ask the question, say what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out = parser.parse_args().out
    begin = time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    photographs, masks, run = out / "photographs", out / "masks", out / "run"
    cut_photographs(photographs)
    data = ("--images", photographs, "--masks", masks)

    call("pipeline", "masks", "--images", photographs, "--out", masks)
    call("pipeline", "preview", masks, "--images", photographs, "--out", out / "masks.png")
    backgrounds = make_backgrounds(out, data)
    call("train", *data, "--recipe", RECIPE, *backgrounds, "--pastes", out / "pastes.png")
    call("train", *data, "--recipe", RECIPE, "--preview", out / "views.png")
    call("train", *data, "--recipe", RECIPE, "--out", run)
    paste_fresh_crops(photographs, masks, out / "fresh")
    accuracy = {}
    for moment, step in (("before", "step-00000000.pt"), ("after", None)):
        checkpoint = run / "checkpoints" / step if step else run
        found = call(
            *("eval", "knn", "--checkpoint", checkpoint, "--train", photographs),
            *("--test", out / "fresh", "--k", 1, "--json"),
        )
        accuracy[moment] = json.loads(found)["results"][0]["top1"]
    print(
        f"\nDone in {time.monotonic() - begin:.0f} s. Look at\n"
        f"  {out / 'views.png'}   image, mask, and the views that the network saw\n"
        f"  {out / 'masks.png'}   image, mask, foreground\n"
        f"  {out / 'windows.png'}   where the photographs show no object\n"
        f"  {out / 'pastes.png'}   foregrounds on gray, on textures, on such windows\n"
        f"  {masks}/   the store of masks: any HDF5 tool opens a shard\n"
        f"  {run}/   checkpoints, losses (metrics.jsonl), recipe.toml\n"
        f"  {out / 'fresh'}/   the fresh crops that were asked about\n"
        f"A fresh crop on a fresh background found its own photograph among "
        f"{len(PHOTOGRAPHS)}:\n"
        f"  before training {accuracy['before']:.1f} %, after {accuracy['after']:.1f} % "
        f"(chance {100 / len(PHOTOGRAPHS):.1f} %)"
    )


def cut_photographs(folder: Path) -> None:
    """Cut each photograph into overlapping pictures, the first being the whole of it."""
    for number, (name, load) in enumerate(PHOTOGRAPHS.items()):
        rng = np.random.default_rng(number)
        whole = Image.fromarray(load()).convert("RGB")
        (folder / name).mkdir(parents=True)
        for picture in range(PICTURES):
            share = 1.0 if picture == 0 else float(np.sqrt(rng.uniform(0.5, 1.0)))
            width, height = (round(share * side) for side in whole.size)
            left = int(rng.integers(whole.width - width + 1))
            top = int(rng.integers(whole.height - height + 1))
            cut = whole.crop((left, top, left + width, top + height))
            cut.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
            cut.save(folder / name / f"{picture:02d}.jpg", quality=92)


def make_backgrounds(out: Path, data: tuple[object, ...]) -> list[object]:
    """Cut backgrounds out of textures and out of the photographs, and give the options for them."""
    (out / "textures").mkdir()
    for name, load in TEXTURES.items():
        Image.fromarray(load()).save(out / "textures" / f"{name}.png")
    textures, crops = out / "backgrounds-textures", out / "backgrounds-crops"
    kind = ("pipeline", "backgrounds", "--kind")
    call(*kind, "textures", "--images", out / "textures", "--out", textures)
    call(*kind, "crops", *data, "--out", crops, "--min-side", 32)
    call("pipeline", "preview", crops, *data[:2], "--out", out / "windows.png")
    return ["--backgrounds", textures, "--backgrounds", crops]


def paste_fresh_crops(photographs: Path, masks: Path, folder: Path) -> None:
    """Crop each whole photograph anew and paste its foreground onto new gray levels."""
    recipe = load_recipe(str(RECIPE))
    store = MaskStore(masks)
    for name in PHOTOGRAPHS:
        (folder / name).mkdir(parents=True)
        path = f"{name}/00.jpg"
        image, mask = decode(photographs / path), store[path]
        for fresh in range(FRESH):
            draw = view_draw(
                dataclasses.replace(recipe.views, crop_scale=(0.5, 1.0)),
                dataclasses.replace(recipe.paste, probability=1.0),
                seed=recipe.seed,
                epoch=FRESH_EPOCH + fresh,
                sample=store.position(path),
                view=0,
                height=image.shape[0],
                width=image.shape[1],
            )
            pixels, alpha = (torch.tensor(x) for x in crop(image, mask, draw, 128))
            level = torch.tensor(draw.paste.gray_level / 255)
            pasted = paste(pixels.permute(2, 0, 1)[None] / 255, alpha[None, None] / 255, level)
            picture = functional.to_pil_image((255 * pasted[0]).round().to(torch.uint8))
            picture.save(folder / name / f"{fresh:02d}.png")


def call(package: str, *arguments: object) -> str:
    """Run one of the three programs, showing the command, and give its standard output."""
    words = [str(argument) for argument in arguments]
    program = {"pipeline": "dilo-prep", "train": "dilo-train", "eval": "dilo-eval"}[package]
    print(f"\n$ {program} {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", f"dilo.{package}", *words]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.returncode)
    return ended.stdout


if __name__ == "__main__":
    main()
