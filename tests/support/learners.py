"""Checkpoints of a network that took a few steps on noise."""

import torch
from support.runs import small_recipe

from dilo.train.engine import checkpoint
from dilo.train.engine.checkpoint import Position
from dilo.train.engine.pretrain import Learner
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.moco import MoCo

RECIPE = small_recipe()


def learner(recipe=RECIPE):
    method = MoCo(recipe, TrainingSet(13))
    optimizer = torch.optim.SGD(method.encoder_q.parameters(), lr=0.1, momentum=0.9)
    return Learner(method, optimizer=optimizer, scaler=torch.amp.GradScaler("cpu", enabled=False))


def trained(run, *steps, keep_every=0):
    learns = learner()
    method, optimizer = learns.method, learns.optimizer
    for step in steps:
        views = torch.randn(2, 4, 3, 16, 16)
        method(ViewBatch(views=views.unbind(), samples=torch.arange(4), step=0)).loss.backward()
        optimizer.step()
        position = Position(step, 0, "images", "masks")
        checkpoint.save(run, learns, RECIPE, position, keep_every=keep_every)
    return learns
