"""One sentence for what pydantic has against a configuration: key, value and fix."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trainer.errors import suggestion
from trainer.section import SectionMistake

# `[training] family` is not written in the file: it is that of `[model]`.
HIDDEN = {"family"}


def sentence_of(error: ValidationError, config: type[BaseModel]) -> str:
    """The first mistake as one sentence, and how many more there are."""
    first, *others = error.errors(include_url=False)
    location = [str(part) for part in first["loc"] if part != "SecretKey"]  # a member of a union, no key
    # The member of a union, which the file does not name as a key.
    family = location.pop(1) if len(location) > 1 and location[0] in ("model", "training") else ""
    key = f"[{location[0]}] {'.'.join(location[1:])}".strip() if location else "the file"
    if first["type"] == "extra_forbidden":
        known = _known_keys(config, location[:-1], family)
        fix = suggestion(location[-1], known, f"known are {', '.join(known)}")
        sentence = f"unknown key {key}: {fix}"
    elif first["type"] == "missing":
        sentence = f"{key} is missing: add it"
    elif first["type"] == "union_tag_invalid":
        known = first["ctx"]["expected_tags"].replace("'", "")
        sentence = f"[model] family = {json.dumps(first['ctx']['tag'])}: known are {known}"
    else:
        is_table = first["type"] in ("model_type", "model_attributes_type", "dict_type")
        message = (
            "input should be a valid dictionary: a table with keys"
            if is_table
            else first["msg"].removeprefix("Value error, ")
        )
        value = first["input"]
        shown = (
            "" if isinstance(value, dict) else f" = {json.dumps(value, default=str, ensure_ascii=False)[:80]}"
        )
        sentence = f"{key}{shown}: {message[:1].lower()}{message[1:]}"
        if isinstance(first.get("ctx", {}).get("error"), SectionMistake):  # it names the section itself
            sentence = message
    return " ".join(sentence.split()) + (f" (and {len(others)} more)" if others else "")


def _known_keys(config: type[BaseModel], location: list[str], family: str) -> list[str]:
    """The keys that the section at `location` has, in the words of one model family."""
    section: Any = config
    for part in location:
        if part.isdigit():  # a place in a list of tables
            continue
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
        # An optional section is known by its only model, one of several by its family.
        models = [option for option in get_args(section) if hasattr(option, "model_fields")]
        models = [m for m in models if len(models) == 1 or m.model_fields["family"].default == family]
        section = models[0] if models else section
    return sorted(set(getattr(section, "model_fields", {})) - (HIDDEN if location == ["training"] else set()))
