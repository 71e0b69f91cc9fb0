"""The course of a learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from trainer.pair.pair_config import PairTraining
    from trainer.vae.vae_config import VaeTraining


def learning_rate(
    course: PairTraining | VaeTraining, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The rate by step: a straight rise, then constant or a cosine's fall.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", section 3, one period.
    """
    warmup = round(course.warmup_epochs * steps_per_epoch)
    if course.schedule == "constant" and not warmup:
        return course.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else course.learning_rate,
        decay_steps=max(1, course.epochs * steps_per_epoch - warmup),
        # A cosine that falls to all of its height is a constant.
        alpha=1.0 if course.schedule == "constant" else course.final_fraction,
        warmup_target=course.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
