"""The `[notify]` section: who hears how a run has ended."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainer.section import Section

# The variable that holds the URL, where [notify] names no other.
WEBHOOK = "KEMBAR_WEBHOOK_URL"
Status = Literal["failed", "data_rejected", "not_blessed", "serving_rejected", "pushed", "unchanged"]


class Notify(Section):
    """The `[notify]` section: who hears how a run has ended."""

    webhook: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        WEBHOOK,
        description="the variable with the URL, which is a secret; nothing is sent where it is not set",
    )
    command: tuple[str, ...] = Field((), description="program and arguments; it finds the JSON on its input")
    on: tuple[Status, ...] = Field(
        ("failed", "data_rejected", "not_blessed", "serving_rejected", "pushed"),
        description="the statuses that are told",
    )
