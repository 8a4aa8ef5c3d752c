"""The learning rate as a function of the step."""

import math

from dilo.train.recipe import OptimizerRecipe


def base_rate(optimizer: OptimizerRecipe) -> float:
    """Scale the rate of a recipe to its batch.

    Parameters
    ----------
    optimizer : OptimizerRecipe
        `lr`, which is of a batch of `lr_batch`; `batch`; and `scaling`.

    Returns
    -------
    float
        The highest rate of the run: `lr` times batch / lr_batch, or times its root, or `lr`.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017.

    Examples
    --------
    >>> from dilo.train.recipe import OptimizerRecipe
    >>> base_rate(OptimizerRecipe(lr=0.03, lr_batch=256, batch=512))
    0.06
    """
    ratio = optimizer.batch / optimizer.lr_batch
    factor = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[optimizer.scaling]
    return optimizer.lr * factor


def learning_rate(optimizer: OptimizerRecipe, step: int, steps_per_epoch: int) -> float:
    """Give the learning rate of a step.

    Parameters
    ----------
    optimizer : OptimizerRecipe
        Rate, batch, epochs, schedule, warm-up, milestones.
    step : int
        Steps taken before this one, of the whole run.
    steps_per_epoch : int
        Steps of an epoch.

    Returns
    -------
    float
        During the warm-up a straight line by the step, from 0 towards the base rate. After it,
        half a cosine over the rest of the run, from the base rate towards 0, which the step after
        the last would reach; or the base rate, a tenth of it from each milestone on. With
        `by` "epoch" the cosine stands still during an epoch, as the MoCo repository has it;
        with "step" it falls each step, as SimCLR's.

    Examples
    --------
    >>> from dilo.train.recipe import OptimizerRecipe
    >>> moco = OptimizerRecipe(lr=0.03, milestones=(120, 160))
    >>> [round(learning_rate(moco, 100 * epoch, 100), 6) for epoch in (0, 119, 120, 160)]
    [0.03, 0.03, 0.003, 0.0003]
    """
    rate = base_rate(optimizer)
    warm = round(optimizer.warmup * steps_per_epoch)
    if step < warm:
        return rate * step / warm
    if optimizer.schedule == "step":
        passed = sum(step // steps_per_epoch >= epoch for epoch in optimizer.milestones)
        return float(rate * 0.1**passed)
    if optimizer.by == "epoch":
        # The epoch in which a warm-up ends may have begun before that: it is at the top.
        step = max(step // steps_per_epoch * steps_per_epoch, warm)
    share = (step - warm) / (optimizer.epochs * steps_per_epoch - warm)
    return rate * 0.5 * (1.0 + math.cos(math.pi * share))


def rate_words(optimizer: OptimizerRecipe) -> str:
    """Say where the base rate comes from.

    Parameters
    ----------
    optimizer : OptimizerRecipe
        Rate, batch and scaling.

    Returns
    -------
    str
        For the log.

    Examples
    --------
    >>> from dilo.train.recipe import OptimizerRecipe
    >>> rate_words(OptimizerRecipe(lr=0.03, lr_batch=256, batch=512))
    'learning rate 0.06: 0.03 for a batch of 256, scaled linearly to 512'
    """
    rate = f"learning rate {base_rate(optimizer):g}"
    if optimizer.scaling == "none":
        return f"{rate}, whatever the batch"
    if optimizer.batch == optimizer.lr_batch:
        return f"{rate} for a batch of {optimizer.batch}"
    way = {"linear": "linearly", "sqrt": "by the square root"}[optimizer.scaling]
    given = f"{optimizer.lr:g} for a batch of {optimizer.lr_batch}"
    return f"{rate}: {given}, scaled {way} to {optimizer.batch}"
