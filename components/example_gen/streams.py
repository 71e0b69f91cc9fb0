"""Bytes and lines of files: unpacked by what they are, streamed, and bounded in what they may take.

A packed file of a megabyte can hold a terabyte, and a file of any size one line. Neither is ever in memory as
a whole: a line that is too long is cut, which costs that row alone, and a file that unpacks to far more than
rows of text would is given up.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from trainer.errors import DataRejected

# Characters of one line, or of one record of several lines. A row has two texts of `max_text_length`.
LONGEST_LINE = 16 * 2**20
# Of a longer line so much is kept for the quarantine.
KEPT_OF_A_LINE = 1_000
# A packed file may unpack to so much, whatever its size, and beyond that to so many times its size. Text
# packs to a tenth, and a log of repeated lines to a hundredth.
UNPACKED_BYTES, UNPACKED_RATIO = 2**30, 200
# Bytes that are read from a file at once.
_CHUNK = 2**17
# Any byte of these codecs that cannot be decoded is at least 128, as `surrogateescape` wants it.
_ESCAPABLE = {"utf-8", "utf-8-sig", "ascii", "iso8859-1", "cp1252"}


class CutLine(str):
    """The beginning of a line that is longer than `LONGEST_LINE`."""

    __slots__ = ()


def compression(head: bytes) -> str:
    """The name of what packed a file that begins with `head`; nothing for a plain file."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        return "bzip2"
    if head.startswith((b"\xfd7zXZ\0", b"]\0\0")):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or re.match(rb"[\x50-\x5f]\x2a\x4d\x18", head):
        return "zstd"
    return ""


def compression_of(path: Path) -> str:
    """The name of what packed a file; nothing for a plain one."""
    with path.open("rb") as file:
        return compression(file.read(16))


def open_bytes(path: Path, start: int = 0, end: int | None = None) -> IO[bytes]:
    """Opens a file for reading, unpacked; of a plain one the bytes from `start` to `end` alone.

    Reading raises:
      DataRejected: when the file unpacks to far more than there can be in it.
      EOFError, OSError, lzma.LZMAError, zlib.error: when it cannot be unpacked.
    """
    packed = compression_of(path)
    if packed:
        return io.BufferedReader(_Unpacked(path, packed), _CHUNK)
    if end is None:
        file = path.open("rb", buffering=_CHUNK)
        file.seek(start)
        return file
    if end - start > 2 * LONGEST_LINE:
        import pyarrow as pa

        part = pa.OSFile(str(path)).get_stream(start, end - start)
        return io.BufferedReader(cast(io.RawIOBase, part), _CHUNK)
    with path.open("rb") as file:  # all in memory, which is fastest
        file.seek(start)
        return io.BytesIO(file.read(end - start))


def open_lines(
    path: Path, encoding: str, *, newline: str = "\n", start: int = 0, end: int | None = None
) -> IO[str]:
    """Opens a file as text, neither translating line ends nor losing bytes that are not `encoding`.

    Those are carried as lone surrogates. A packed file has no `start` but that of its byte order mark.
    """
    raw = open_bytes(path, start, end)
    if start and compression_of(path):
        raw.read(start)
    known = codecs.lookup(encoding).name
    errors = "surrogateescape" if known in _ESCAPABLE else _ESCAPE
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline=newline)


def lines_of(file: IO[str], most: int | None = None) -> Iterator[str]:
    """The file's lines with their line ends; of one that is too long a `CutLine`.

    Where it is known that there are not `most` bytes in it, and that is not much longer, none is cut.
    """
    return file if most is not None and most <= 2 * LONGEST_LINE else _bounded(file)


def _bounded(file: IO[str]) -> Iterator[str]:
    readline, longest = file.readline, LONGEST_LINE
    while text := readline(longest):
        if len(text) == longest and text[-1] not in "\r\n":
            rest = text
            while len(rest) == longest and rest[-1] not in "\r\n":
                rest = readline(longest)
            text = CutLine(text[:KEPT_OF_A_LINE])
        yield text


class _Unpacked(io.RawIOBase):
    """The unpacked content of a file, up to a bound."""

    def __init__(self, path: Path, packed: str) -> None:
        super().__init__()
        self._path, self._packed = path, packed
        self._source = _open_packed(path, packed)
        self._size = path.stat().st_size
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._source.readinto(buffer) or 0  # type: ignore[attr-defined]
        self._count += count
        if self._count > UNPACKED_BYTES and self._count > UNPACKED_RATIO * self._size:
            raise DataRejected(
                f"{self._path}: {self._size:,} bytes of {self._packed} unpack to more than "
                f"{UNPACKED_RATIO} times as many, {self._count:,} so far: if that is right, unpack the file "
                "and give it as it is"
            )
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


def _open_packed(path: Path, packed: str) -> IO[bytes]:
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    if packed in openers:
        return cast(IO[bytes], openers[packed](path, "rb"))
    # Here and not above: a command that reads no such file need not wait for it.
    import pyarrow as pa

    return cast(IO[bytes], pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Every byte that cannot be decoded as a lone surrogate of its own, U+DC00 and the byte."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


_ESCAPE = "kembar.escape"
codecs.register_error(_ESCAPE, _escape)
