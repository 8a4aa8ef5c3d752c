"""The learning rate as a function of the epoch."""

import math

from dilo.train.recipe import OptimizerRecipe


def learning_rate(optimizer: OptimizerRecipe, epoch: int) -> float:
    """Give the learning rate of an epoch, as the MoCo repository schedules it.

    Parameters
    ----------
    optimizer : OptimizerRecipe
        Base rate, number of epochs, schedule and milestones.
    epoch : int
        From 0; the rate is the same for all its steps.

    Returns
    -------
    float
        Half a cosine from the base rate towards 0 (which it never reaches), or a tenth
        of the rate from each milestone on.

    Examples
    --------
    >>> from dilo.train.recipe import OptimizerRecipe
    >>> [round(learning_rate(OptimizerRecipe(lr=0.03), e), 6) for e in (0, 119, 120, 160)]
    [0.03, 0.03, 0.003, 0.0003]
    """
    if optimizer.schedule == "cosine":
        return optimizer.lr * 0.5 * (1.0 + math.cos(math.pi * epoch / optimizer.epochs))
    passed = sum(epoch >= milestone for milestone in optimizer.milestones)
    return float(optimizer.lr * 0.1**passed)
