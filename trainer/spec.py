"""What the trainer and the components are told: the parts of the configuration that shape the model."""

from __future__ import annotations

from collections.abc import Collection

from trainer.config import PairModel, Section, Training
from trainer.features import Label


class Spec(Section):
    """Model, training and label of one use case; travels to TFX steps as JSON."""

    label: Label
    model: PairModel = PairModel()
    training: Training = Training()

    def for_preprocessing(self, fields: Collection[str]) -> str:
        """As JSON, with just the `fields` of the model: other epochs need no other transform."""
        return self.model_dump_json(include={"label": True, "model": {"family", *fields}})

    def for_evaluation(self) -> str:
        """As JSON, with what metrics, baselines and golden requests look at."""
        return self.model_dump_json(include={"label": True, "model": {"family"}})
