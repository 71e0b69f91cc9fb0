"""The encoding of a file of text: by its byte order mark, by `[data]`, else by its bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from contextlib import suppress

from components.example_gen.batch import Fault, FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.records import with_bad_bytes

# UTF-32 first: its little-endian mark begins as that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
# Of a Latin letter at the beginning.
_LATIN = {
    "utf-32-le": rb"[^\0]\0\0\0", "utf-32-be": rb"\0\0\0[^\0]",
    "utf-16-le": rb"[^\0]\0", "utf-16-be": rb"\0[^\0]",
}  # fmt: skip
# What files that are not UTF-8 are in most of the time; nearly every file fits the last one.
_LIKELY = ("cp1252", "cp932", "gb18030")
_BYTE = re.compile("[\udc80-\udcff]")
_PARTS = re.compile(r"[\s\"',;|:]+")
_SHOWN = 20


def encoding_of(content: bytes, data: DataSection) -> tuple[str, int]:
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
            wide = _wide(content, data) or ""
            return wide if wide.startswith(name) else f"{name}-le", 0
    return "utf-8" if name == "utf-8-sig" else data.encoding, 0


def is_utf8(content: bytes, is_all: bool) -> bool:
    """True where bytes, not all of ASCII, are UTF-8; by chance they hardly ever are."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, final=is_all)
    except UnicodeDecodeError:
        return False
    return not content.isascii() and b"\0" not in content


def encoding_faults(texts: Sequence[str], encoding: str) -> dict[int, Fault]:
    """The fault of each text that has lone surrogates in place of bytes that are not `encoding`."""
    bad = with_bad_bytes(texts)
    if not bad:
        return {}
    others = set(range(len(texts))).difference(bad)
    # Where other rows have letters that fit, the file's encoding is right and another one would spoil those.
    fits = not all(texts[at].isascii() for at in others)
    return {at: Fault(FaultReason.BAD_ENCODING, bad_bytes(texts[at], encoding, fits)) for at in bad}


def bad_bytes(text: str, encoding: str, fits: bool = False) -> str:
    """The fault of a text that has bytes which are not `encoding`, and the fix.

    One 8-bit encoding cannot be told from another: the first such word is shown as it would be read. Where
    the rest of the file `fits`, it is the row that has to be corrected.
    """
    wrong = f"bytes that are not {encoding}"
    if codecs.lookup(encoding).name in _WIDE:
        return wrong
    if fits:
        return f"{wrong}, as other rows are: write the row in {encoding}"
    word = next((part for part in _PARTS.split(text) if _BYTE.search(part)), "")
    for name in _LIKELY if word else ():
        with suppress(UnicodeError):
            text.encode(encoding, "surrogateescape").decode(name)
            read = word.encode(encoding, "surrogateescape").decode(name)
            if read.isprintable():
                return f'{wrong}: set [data] encoding; with encoding = "{name}" they are {read[:_SHOWN]!r}'
    return f"{wrong}: set [data] encoding"


def _wide(content: bytes, data: DataSection) -> str | None:
    """UTF-16 or UTF-32 without a mark."""
    if b"\0" not in content:
        return None
    for name, pattern in _LATIN.items():
        if re.match(pattern, content[:4], re.DOTALL):
            return name
    # The first name may be of another script; those that are looked for are in it all the same.
    for name in ("utf-16-le", "utf-16-be"):
        first = re.split("[\r\n]", content.decode(name, "replace"), maxsplit=1)[0]
        if any(column in first for column in data.wanted.values()):
            return name
    return None
