"""Two runs with every record that a report gathers, made up but alike to real ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("tench", "springer", "cassette player", "chain saw")
VERSIONS = {"dilo": "0.1.0", "torch": "2.6.0", "numpy": "2.0.0"}
IMAGES = 3925


def write_json(path: Path, record: object) -> Path:
    """Write a record, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def picture(path: Path, side: int = 40, seed: int = 0) -> Path:
    """Write a picture of noise, which no compression makes small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def knn(top1: float = 55.1, run: Path = Path("run"), **more: Any) -> dict[str, Any]:
    """Make the record of kNN."""
    shifts = {1: -4.0, 20: 0.0, 200: -2.5}
    results = [
        {
            "k": k,
            "top1": top1 + shift,
            "top5": 90.0 + shift,
            "per_class": {name: top1 + 3 * i for i, name in enumerate(CLASSES)},
        }
        for k, shift in shifts.items()
    ]
    return {
        "task": "knn",
        "checkpoint": str(run / "checkpoints" / "step-00001764.pt"),
        "step": 1764,
        "size": 64,
        "layer": "pooled",
        "protocol": "dilo",
        "temperature": 0.07,
        "results": results,
        "classes": len(CLASSES),
        "train_images": 9469,
        "test_images": IMAGES,
        "seconds": 41.2,
        "versions": VERSIONS,
        **more,
    }


def linear(top1: float = 61.0, run: Path = Path("run"), **more: Any) -> dict[str, Any]:
    """Make the record of a linear probe of 20 epochs, the last but four being the best."""
    epochs = [
        {"epoch": e, "lr": 30.0, "loss": 2 - e / 20, "top1": top1 - abs(16 - e) / 2, "top5": 93.0}
        for e in range(1, 21)
    ]
    return {
        "task": "linear",
        "checkpoint": str(run / "checkpoints" / "step-00001764.pt"),
        "step": 1764,
        "size": 64,
        "protocol": {"name": "moco", "epochs": 20, "milestones": [12.0, 16.0]},
        "is_protocol": False,
        "deviations": ["epochs 20 instead of 100"],
        "best": epochs[15],
        "last": epochs[-1],
        "epochs": epochs,
        "per_class": {name: top1 - 2 * i for i, name in enumerate(CLASSES)},
        "backbone_frozen": True,
        "classes": len(CLASSES),
        "train_images": 9469,
        "test_images": IMAGES,
        "seconds": 812.0,
        "versions": VERSIONS,
        **more,
    }


def _share(value: float, reach: float = 2.0) -> dict[str, float]:
    """Make a share with its interval."""
    return {"value": value, "low": value - reach, "high": value + reach, "images": 800}


def backgrounds(*names: str, gap: float = 12.0) -> dict[str, Any]:
    """Make the record of reliance on backgrounds, of one classifier or several."""
    shares = {"original": 80.0, "only_fg": 60.0, "no_fg": 30.0, "mixed_same": 70.0}
    shares |= {"mixed_rand": 70.0 - gap, "mixed_next": 68.0 - gap}
    results = [
        {
            "name": name,
            "step": 1764,
            "size": 64,
            "classes": 4,
            "images": 800,
            "chance": 25.0,
            "top1": {variation: _share(value - i) for variation, value in shares.items()},
            "bg_gap": _share(gap, 1.0),
            "retained": {"mixed_rand": _share(75.0)},
            "follows_background": {"mixed_rand": _share(14.0), "mixed_next": _share(11.0)},
        }
        for i, name in enumerate(names)
    ]
    record = {"task": "backgrounds", "mode": "folder", "images": "val", "seed": 0, "size": 64}
    return {**record, "step": 1764, "results": results, "seconds": 30.0, "versions": VERSIONS}


def localize(name: str, box: float) -> dict[str, Any]:
    """Make the record of localisation: two kinds of maps, and two baselines."""

    def row(method: str, value: float, **more: Any) -> dict[str, Any]:
        numbers = {"max_box_acc": value, "pixel_ap": value - 3, "gt_known_loc": None}
        numbers |= {"pointing_game": value + 9, "energy_inside": value - 8}
        return {"name": f"{name} {method}", "method": method, "numbers": numbers, **more}

    methods = [
        row("gradient", box - 8, baseline=False, **{"class": "true"}),
        row("cam", box, baseline=False, **{"class": "true"}),
        row("center", 41.0, baseline=True) | {"name": "baseline: center prior"},
        row("random", 12.0, baseline=True) | {"name": "baseline: random map"},
    ]
    record = {"task": "localize", "step": 1764, "size": 224, "images": 200, "truth_kind": "masks"}
    return {**record, "methods": methods, "seconds": 12.0, "versions": VERSIONS}


def saliency() -> dict[str, Any]:
    """Make the record of two methods' masks."""
    numbers = {"max_f_benchmark": 0.81, "mean_f": 0.7, "weighted_f": 0.66, "mae": 0.12}
    methods = [{"method": name, "numbers": numbers} for name in ("rbd", "gs")]
    return {"task": "saliency", "truth": "masks", "images": 200, "methods": methods}


def training(run: Path, probability: float, *, digest: str = "a8d1", steps: int = 60) -> Path:
    """Write what a run leaves: its curves, its recipe, its facts."""
    recipe = {
        "method": "moco",
        "model": {"arch": "resnet18"},
        "views": {"size": 64},
        "paste": {"probability": probability},
        "optimizer": {"epochs": 12, "batch": 64, "lr": 0.015},
    }
    facts = {
        "recipe": recipe,
        "steps": steps,
        "images": 9469,
        "never_pasted": 32,
        "data": {"images": digest * 16, "masks": "5891" * 16, "backgrounds": ""},
        "device": "cpu",
        "precision": "fp32",
        "time": "2026-01-02T03:04:05+00:00",
        "commit": None,
        "versions": VERSIONS,
    }
    write_json(run / "run.json", facts)
    (run / "state").write_text("done\n")
    lines: list[dict[str, Any]] = [
        {"step": s, "epoch": s // 5, "loss": 6 - s / 20, "accuracy": s / 100, "lr": 0.015}
        for s in range(2, steps + 1, 2)
    ]
    lines += [{"step": s, "knn_top1": 20 + s / 2, "knn_k": 20} for s in (0, steps // 2, steps)]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    return run


def whole_run(run: Path, *, top1: float = 55.1, probability: float = 0.0) -> Path:
    """Write a run with every record and picture."""
    training(run, probability)
    found = run / "eval"
    write_json(found / "knn" / "knn.json", knn(top1, run))
    write_json(found / "linear" / "linear.json", linear(top1 + 6, run))
    fast: dict[str, Any] = {"task": "linear-fast", "is_protocol": False, "step": 1764}
    fast |= {"test_images": IMAGES, "last": {"epoch": 30, "top1": top1 + 5, "top5": 95.0}}
    write_json(found / "linear-fast" / "linear-fast.json", fast)
    write_json(found / "localize" / "localize.json", localize(run.name, 40 + top1 / 10))
    write_json(found / "backgrounds" / "backgrounds.json", backgrounds("classifier"))
    picture(found / "localize" / f"sheet-{run.name}.png", seed=2)
    picture(found / "backgrounds" / "variations.png")
    picture(found / "neighbors" / "neighbors.png", seed=1)
    return run
