"""Values as people write them: which are numbers, and when two are the same whatever their type.

A number is what every CSV tool takes for one: ASCII digits with a sign, a point and an exponent if need be,
and white space around. `float` alone takes more, such as `1_5` and digits of other scripts.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import numpy as np

BOOLS = {"true": 1.0, "false": 0.0}
_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
_OF_NUMBERS = (int, float, Decimal, np.number)
# So much of a value is shown in a message.
_SHOWN = 40


def number(value: Any) -> float:
    """The number that `value` is; NaN for what is none, and infinity for a whole one that is too large.

    A bool is no number.
    """
    if isinstance(value, str):
        value = value.strip()
        if not value.isascii() or "_" in value:
            return math.nan
    elif isinstance(value, bool) or not isinstance(value, _OF_NUMBERS):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:  # a whole number that no float holds
        return math.inf if value > 0 else -math.inf


def number_or_bool(value: object) -> float:
    """The number that `value` is, as `number` reads it; a bool, also in letters of any case, is 1 or 0."""
    if isinstance(value, bool | np.bool_):
        return float(value)
    parsed = number(value)
    if math.isnan(parsed) and isinstance(value, str):
        return BOOLS.get(value.strip().lower(), math.nan)
    return parsed


def key(value: object) -> str | None:
    """A text that is equal for values that are the same: 1, 1.0, "1" and " 01 "; True and "TRUE".

    Words are compared by their letters, without white space around. Numbers that are not whole are compared
    in float32, in which some formats keep them. None for what is no single value: null, NaN, lists, times.
    """
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            return str(int(text))
        known = number(text)
        if math.isfinite(known):
            return _key(known)
        return text.lower() if text.lower() in BOOLS else text
    if isinstance(value, int | np.integer):
        return str(int(value))
    known = number(value)
    return _key(known) if math.isfinite(known) else None


def _key(known: float) -> str:
    if known.is_integer():
        return str(int(known))
    with np.errstate(over="ignore", under="ignore"):
        return str(np.float32(known))


def name(value: object) -> object:
    """A scalar of TOML as the text that names it: 1 and 1.0 are "1", true is "true"."""
    return value if isinstance(value, str) or not isinstance(value, int | float) else key(value) or str(value)


def show(value: object) -> str:
    """A value for a message: cut short, and nothing in it that a terminal would obey."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple | np.ndarray):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return repr(str(value).strip()[:_SHOWN])
