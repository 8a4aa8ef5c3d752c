"""What each of two ranks does for tests/train/runtime/test_distributed.py: all in one group."""

import functools
import json
import shutil
from pathlib import Path

import torch

from dilo.pipeline.errors import DiloError
from dilo.train.runtime import distributed


def talk() -> dict[str, object]:
    """Try each way of telling each other things."""
    me = distributed.rank()
    values = torch.tensor([[1.0 + me, 2.0]], requires_grad=True)
    together = distributed.all_gather_with_grad(values)
    image = torch.full((1, 2, 2, 2), me).contiguous(memory_format=torch.channels_last)
    images = distributed.all_gather(image)
    weights = torch.tensor([[1.0, 10.0], [100.0, 1000.0]]) * (1 + me)
    (together * weights).sum().backward()
    try:
        distributed.on_rank_zero(lambda: fail("as rank 0 found"))
        refused = ""
    except DiloError as error:
        refused = str(error)
    return {
        "size": distributed.world_size(),
        "gather": distributed.all_gather(values.detach()).tolist(),
        "images": images[:, 0, 0, 0].tolist(),
        "channels_last": images.is_contiguous(memory_format=torch.channels_last),
        "gathered_gradient": values.grad.tolist(),
        "share": distributed.local_part(torch.arange(4)).tolist(),
        "mean": distributed.all_reduce_mean(torch.tensor(float(me))).item(),
        "any": distributed.any_rank([False, me == 1, True]),
        "decide": distributed.on_rank_zero(lambda: f"said by {me}"),
        "refused": refused,
    }


def fail(message: str) -> None:
    """Refuse."""
    raise DiloError(message)


def find_objects(images: Path, masks: Path, out: Path) -> dict[str, object]:
    """Train a network for saliency, at once and with stops."""
    from support.objects import weights_after
    from support.runs import machine

    data, stop = (images, masks), machine(max_minutes=1e-9)
    return {
        "undisturbed": weights_after(data, out / "undisturbed", [machine()]),
        "stopped": weights_after(data, out / "stopped", [stop, stop, machine()]),
    }


def work(images: Path, masks: Path, killed: Path, out: Path) -> None:
    """Do all of it, and leave what came of it in a file of this rank."""
    from support.runs import METHODS_SMALL, interrupted, losses, undisturbed

    with distributed.init_process_group(torch.device("cpu")):
        found = {"talk": talk()}
        undisturbed("moco", images, masks, killed)  # resumes where its ranks were killed
        found["killed"] = losses(killed)
        for name in METHODS_SMALL:
            run = out / name
            found[name] = {
                "undisturbed": undisturbed(name, images, masks, run / "undisturbed"),
                "interrupted": interrupted(name, images, masks, run / "interrupted"),
            }
            # Forty megabytes a method: they go when both have read them.
            distributed.any_rank([True])
            distributed.on_rank_zero(functools.partial(shutil.rmtree, run))
        found["saliency"] = find_objects(images, masks, out / "saliency")
        (out / f"rank-{distributed.rank()}.json").write_text(json.dumps(found))
