"""Which encoding a file of text has: by its byte order mark, by `[data]`, else by its bytes."""

from __future__ import annotations

import codecs
import re

from components.example_gen.config import Data

# UTF-32 first: its little-endian mark begins as that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}


def encoding_of(content: bytes, data: Data) -> tuple[str, int]:
    """The codec for a file that begins with `content`, and how many bytes its byte order mark has.

    A mark goes before what `data` says, as in browsers: nobody writes one by chance. Without it and without
    a key the zero bytes of Latin letters, digits and signs tell UTF-16 and UTF-32; all else is UTF-8, since
    one 8-bit encoding cannot be told from another.

    Raises:
      UnicodeError: the file is plainly not in the encoding that `data` names.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name, len(mark)
    if data.encoding is None:
        return _wide(content, data) or "utf-8", 0
    name = codecs.lookup(data.encoding).name
    if name in _WIDE and content:
        if b"\0" not in content:
            raise UnicodeError(f"no {data.encoding}, for there is no zero byte in it")
        if name in ("utf-16", "utf-32"):
            seen = _wide(content, data) or ""
            return seen if seen.startswith(name) else f"{name}-le", 0
    return "utf-8" if name == "utf-8-sig" else data.encoding, 0


def _wide(content: bytes, data: Data) -> str | None:
    """UTF-16 or UTF-32 without a mark."""
    if b"\0" not in content:
        return None
    head = content[:4]
    for pattern, name in (
        (rb"[^\0]\0\0\0", "utf-32-le"),
        (rb"\0\0\0[^\0]", "utf-32-be"),
        (rb"[^\0]\0", "utf-16-le"),
        (rb"\0[^\0]", "utf-16-be"),
    ):
        if re.match(pattern, head, re.DOTALL):
            return name
    # The first name may be of another script; those that are looked for are in it all the same.
    for name in ("utf-16-le", "utf-16-be"):
        first = re.split("[\r\n]", content.decode(name, "replace"), maxsplit=1)[0]
        if any(column in first for column in data.wanted.values()):
            return name
    return None
