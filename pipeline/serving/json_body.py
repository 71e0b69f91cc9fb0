"""JSON bodies as TF Serving reads them: what stands in them, and which strings are bytes.

A key given twice and bytes that are no UTF-8 are refused. As in TF Serving, the bare words NaN, Inf and
Infinity are numbers, and what stands behind the end of the object is not read.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Set
from typing import Any

from pipeline.serving.errors import RequestError

_BLANKS = " \t\n\r"
# Words that RapidJSON reads and Python does not; strings are passed over, without a second try at any letter:
# one that has no end would take a time that grows as its square.
_WORDS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|-?Inf(?:inity)?|-NaN', re.DOTALL)
_SPELLED = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}
# What absl takes for padding, and the blanks that it passes over.
_PADDING, _BLANK_BYTES = "=.", re.compile(r"[ \t\n\v\f\r]")


class Word(float):
    """A number that was written as a word. An infinite one that was not is 1e400: too big for a double."""


def parse_call(body: bytes, known: Set[str], expected: str) -> tuple[dict[str, Any], str]:
    """The JSON object that a body is, and the signature that it names; an empty name where it names none.

    Raises:
        RequestError: it is none, or has other keys than the `known`, which `expected` has in words.
    """
    document = parse_document(body)
    unknown = document.keys() - known
    if unknown:
        raise RequestError(f"Unknown key '{min(unknown)}'; expecting {expected}")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError("'signature_name' key must be a string value.")
    return document, name


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        RequestError: it is none.
    """
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        document = _first_value(text)
        if "\\ud" in text or "\\uD" in text:  # a half of a surrogate pair is no text
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise RequestError(f"JSON Parse error: not UTF-8 at offset: {error.start}") from error
    except UnicodeEncodeError as error:
        raise RequestError("JSON Parse error: a string holds half of a surrogate pair") from error
    except RecursionError as error:
        raise RequestError("JSON Parse error: nested too deeply") from error
    except ValueError as error:  # also an integer of more digits than Python reads
        raise RequestError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {excerpt(document)} Is not object")
    return document


def _first_value(text: str) -> Any:
    """The value that a text begins with."""
    start = len(text) - len(text.lstrip(_BLANKS))
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError:
        if "Inf" not in text and "-NaN" not in text:
            raise
        words = _WORDS.sub(lambda word: _SPELLED.get(word[0], word[0]), text)
        return _DECODER.raw_decode(words, start)[0]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as a dict, unless a key comes twice and one of its values would be lost without a word."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RequestError("JSON Parse error: an object has the same key twice")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=Word)


def is_base64(value: Any) -> bool:
    """True where a JSON value is TF Serving's object for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def from_base64(text: str) -> bytes:
    """Decode base64 by absl's rules: blanks do not count, and padding is complete or left out.

    Raises:
        ValueError: it is no base64.
    """
    letters = _BLANK_BYTES.sub("", text)
    bare = letters.rstrip(_PADDING)
    missing = -len(bare) % 4
    if missing == 3 or len(letters) - len(bare) not in (0, missing):
        raise binascii.Error("Incorrect padding")
    return base64.b64decode(bare + "=" * missing, validate=True)


def excerpt(value: Any) -> str:
    """The value as JSON, cut short."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "(nested deeply)"
    return text if len(text) <= 100 else text[:97] + "..."
