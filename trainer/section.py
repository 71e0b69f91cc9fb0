"""The base class of all sections of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section of the configuration; unknown keys are errors, and so are `nan` and `inf`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
