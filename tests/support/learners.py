"""Checkpoints of a network that took a few steps on noise."""

import torch
from support.runs import small_recipe

from dilo.train.engine.checkpoint import Checkpoints
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.moco import MoCo

RECIPE = small_recipe()


DATA = {"images": "images", "masks": "masks"}


def checkpoints(run, recipe=RECIPE, data=DATA):
    """Give a new network, its optimiser, and the checkpoints of a run."""
    method = MoCo(recipe, TrainingSet(13))
    optimizer = torch.optim.SGD(method.encoder_q.parameters(), lr=0.1, momentum=0.9)
    return Checkpoints(
        run=run,
        recipe=recipe,
        data=data,
        model=method,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
    )


def trained(run, *steps, keep_every=0):
    kept = checkpoints(run)
    for step in steps:
        views = torch.randn(2, 4, 3, 16, 16)
        batch = ViewBatch(views=views.unbind(), samples=torch.arange(4), step=0)
        kept.model(batch).loss.backward()
        kept.optimizer.step()
        kept.save(step, 0, keep_every=keep_every)
    return kept
