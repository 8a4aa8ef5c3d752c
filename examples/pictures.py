"""Draw the README's pictures from what the demo made: python examples/pictures.py --demo demo."""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from dilo.train.copypaste import CopyPaste
from dilo.train.masked import LoadWithMask

#: Photographs whose masks are good.
SHOWN = ("coffee", "coins", "horse")
#: Questions that only the network with the paste answers.
QUESTIONS = 3
#: Width and height of a cell, and the gap between cells, in pixels.
CELL, GAP = (200, 150), 6
FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="what the demo made")
    demo = parser.parse_args().demo
    FOLDER.mkdir(exist_ok=True)
    save(pastes(demo), "pastes.jpg")
    save(answers(demo), "found.jpg")


def pastes(demo: Path) -> Image.Image:
    """Draw a row a photograph: itself, its mask, and its foreground on gray and on textures."""
    torch.manual_seed(2)
    load = LoadWithMask(demo / "photographs", demo / "masks")
    gray = CopyPaste(1.0, blend="none")
    textures = CopyPaste(1.0, backgrounds=demo / "textures", blend="none")
    rows = []
    for name in SHOWN:
        image, mask = load(demo / "photographs" / name / "00.jpg")
        pasted = [paste((image, mask)) for paste in (gray, textures, textures, textures)]
        rows.append([image, functional.to_pil_image(mask).resize(image.size), *pasted])
    width, height = (cell + GAP for cell in CELL)
    page = Image.new("RGB", (len(rows[0]) * width - GAP, len(rows) * height - GAP), "white")
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            page.paste(cell.convert("RGB").resize(CELL), (column * width, row * height))
    return page


def answers(demo: Path) -> Image.Image:
    """Draw some questions that only one network answers, and the picture that each finds."""
    answered = demo / "answers" / "unseen"
    record = json.loads((answered / "backgrounds-retrieval.json").read_text())
    networks = {
        "with paste": demo / "with-paste",
        "without paste": demo / "without",
        "untrained": demo / "without" / "checkpoints" / "step-00000000.pt",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dilo.eval", "backgrounds", "--retrieval", "--out", folder]
        command += ["--images", str(demo / "photographs"), "--masks", str(demo / "masks")]
        command += ["--backgrounds", str(demo / "textures"), "--same", "folder"]
        command += [f"--checkpoint={name}={path}" for name, path in networks.items()]
        command += [f"--{option}={record[option]}" for option in ("seed", "questions")]
        command += [f"--query={path}" for path in only_with_paste(answered)]
        subprocess.run(command, check=True)
        with Image.open(Path(folder) / "retrieval.png") as image:
            return image.convert("RGB")


def only_with_paste(answered: Path) -> list[str]:
    """Choose pictures whose first question only one network answers, each of another photograph."""
    with (answered / "per-image.csv").open(newline="") as file:
        ranks = [line for line in csv.DictReader(file) if line["question"] == "0"]
    chosen = [
        line["image"]
        for line in ranks
        if [int(line[name]) == 1 for name in ("with paste", "without paste", "untrained")]
        == [True, False, False]
    ]
    by_photograph = {path.partition("/")[0]: path for path in chosen}
    return [by_photograph[name] for name in sorted(by_photograph)][:QUESTIONS]


def save(page: Image.Image, name: str) -> None:
    """Write a picture, and say how large it is."""
    path = FOLDER / name
    page.save(path, quality=85)
    print(f"{path}: {page.width} x {page.height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
