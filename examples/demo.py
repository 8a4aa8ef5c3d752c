"""Does copy-paste make a network look at the object? Two trainings on nine photographs, one answer.

The photographs are scikit-image's. Everything runs through the three programs, as on your own
images, and each command is shown. MoCo is trained twice, with the paste and without it, all else
equal. Then each network is asked: here is a picture's foreground on a background that no training
saw. Which photograph is it of?
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from programs import finish, run, start
from torchvision.models import resnet18

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
#: Backgrounds of the questions. No training sees them: its pastes are on plain gray.
UNSEEN = {
    "brick": skimage.data.brick,
    "grass": skimage.data.grass,
    "gravel": skimage.data.gravel,
    "moon": skimage.data.moon,
    "stars": skimage.data.hubble_deep_field,
    "tissue": skimage.data.immunohistochemistry,
}
#: Pictures cut of each photograph, and questions asked about each picture.
PICTURES, QUESTIONS = 24, 2
#: Longest side of a picture, in pixels.
PICTURE_SIDE = 256


def main() -> None:
    """Make the pictures, train the two networks, ask the questions, print the answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder, made anew")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings and the questions")
    options = parser.parse_args()
    out, begin = options.out, time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    photographs, masks, textures = out / "photographs", out / "masks", out / "textures"
    cut_photographs(photographs)
    save_unseen(out / "unseen")

    data = ("--images", photographs, "--masks", masks)
    run("dilo-prep", "masks", "--images", photographs, "--out", masks)
    run("dilo-prep", "preview", masks, "--images", photographs, "--out", out / "masks.png")
    run("dilo-train", *data, "--recipe", RECIPE, "--preview", out / "views.png")
    train_both(out, *data, "--recipe", RECIPE, "--set", f"seed={options.seed}")

    run(
        *("dilo-prep", "backgrounds", "--kind", "textures", "--images", out / "unseen"),
        *("--out", textures, "--crops", 16),
    )
    unseen, gray = (
        ask(out, backgrounds, out / "answers" / name, options.seed)
        for name, backgrounds in (("unseen", textures), ("gray", "gray"))
    )
    shutil.copy(out / "answers" / "unseen" / "retrieval.png", out / "found.png")
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    print(
        f"\nDone in {minutes} min {seconds} s. A picture's foreground, cropped anew, on another "
        f"background:\nhow often is the most similar picture one of the same photograph "
        f"(chance {100 / len(PHOTOGRAPHS):.0f} %)?\n\n"
        f"{'background':<44}{'untrained':>10}{'without paste':>15}{'with paste':>12}\n"
        + table_row("no network saw it (brick, grass, stars, ...)", unseen)
        + table_row("plain gray, as in training", gray)
        + f"\nLook at\n"
        f"  {out / 'found.png'}   some questions, and what each network finds\n"
        f"  {out / 'views.png'}   image, mask, and the views that a network is trained on\n"
        f"  {out / 'masks.png'}   image, mask, foreground\n"
        f"  {out / 'with-paste'}/   the run: checkpoints, losses (metrics.jsonl), recipe.toml"
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
            cut.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
            cut.save(folder / name / f"{picture:02d}.jpg", quality=92)


def save_unseen(folder: Path) -> None:
    """Save the pictures that backgrounds of questions are cut of."""
    folder.mkdir(parents=True)
    for name, load in UNSEEN.items():
        Image.fromarray(load()).convert("RGB").save(folder / f"{name}.png")


def train_both(out: Path, *arguments: object) -> None:
    """Train with and without the paste at the same time, each on half of the cores.

    That is faster than one after the other, for so small a network leaves the second thread
    idle half of the time.
    """
    threads = max(1, (os.cpu_count() or 1) // 2)
    torch.set_num_threads(threads)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    train = ("dilo-train", *arguments, "--precision", fast_precision(), "--workers", 1)
    plain = ("--set", "paste.probability=0", "--out", out / "without")
    log = out / "without.log"  # two progress bars would write over each other
    with log.open("w") as file:
        without = start(*train, *plain, env=environment, stderr=file)
    print("at the same time,", end="")
    pasted = start(*train, "--out", out / "with-paste", env=environment)
    try:
        finish(pasted)
        if without.wait():
            sys.exit(log.read_text())
    finally:
        without.terminate()


def fast_precision() -> str:
    """Find out whether this processor trains clearly faster in bfloat16: most do not."""
    if torch.cuda.is_available():
        return "auto"
    network, images = resnet18(), torch.randn(16, 3, 64, 64)

    def fastest(precision: torch.dtype) -> float:
        times = []
        for _ in range(6):  # the best of several, for other programs may be in the way
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                loss = network(images).square().mean()
            loss.backward()
            times.append(time.perf_counter() - begin)
        return min(times)

    return "bf16" if fastest(torch.bfloat16) < 0.7 * fastest(torch.float32) else "fp32"


def ask(out: Path, backgrounds: object, answers: Path, seed: int) -> list[float]:
    """Ask each network which photograph a foreground is of: how often it is right, in per cent."""
    checkpoints = {
        "with paste": out / "with-paste",
        "without paste": out / "without",
        "untrained": out / "without" / "checkpoints" / "step-00000000.pt",
    }
    record = run(
        *("dilo-eval", "backgrounds", "--retrieval", "--images", out / "photographs"),
        *("--masks", out / "masks", "--backgrounds", backgrounds, "--same", "folder"),
        *("--questions", QUESTIONS, "--seed", seed, "--out", answers, "--json"),
        *(
            word
            for name, path in checkpoints.items()
            for word in ("--checkpoint", f"{name}={path}")
        ),
    )
    right = {one["name"]: one["top1"]["value"] for one in json.loads(record)["results"]}
    return [right[name] for name in reversed(checkpoints)]


def table_row(background: str, right: list[float]) -> str:
    """Lay out a line of the table: untrained, without paste, with paste."""
    untrained, without, pasted = (f"{share:.0f} %" for share in right)
    return f"{background:<44}{untrained:>10}{without:>15}{pasted:>12}\n"


if __name__ == "__main__":
    main()
