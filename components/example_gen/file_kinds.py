"""Files that are no rows of text: known by their first bytes, named as what they are, with the way out."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from components.example_gen.streams import compression, compression_of, open_bytes
from trainer.errors import ConfigError

# Bytes of a file that tell what it is; a tape archive shows itself behind 257.
_HEAD = 512
_EXPORT = "open it where it was made and save it as CSV"
_PARQUET = "a Parquet file"
_PANDAS = "read it with pandas and write it by to_parquet"
_HTML, _BOM = "an HTML page, as a login or an error gives", rb"(\xef\xbb\xbf)?"
# The first bytes, what such a file is, and what to do with it.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (_BOM + rb"\s*<(?i:!doctype html|html|head|body|script|table)\b", _HTML, "download the data again"),
    (_BOM + rb"\s*<(\?xml\b|!--|[Ee]rror>)", "XML", "write it as CSV, JSON lines or Parquet"),
    (rb"PAR1[\0-\x08\x0b\x0c\x0e-\x1f]", _PARQUET, 'set [data] format = "parquet"'),
    (rb"PARE[\0-\x08\x0b\x0c\x0e-\x1f]", "an encrypted Parquet file", "write it without encryption"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (xls), or one with a password", _EXPORT),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name the files in it"),
    (rb"Rar!\x1a\x07", "a RAR archive", "unpack it and name the files in it"),
    (rb".{257}ustar", "a tar archive", "unpack it and name the files in it"),
    (rb"\x04\x22\x4d\x18", "an lz4 file", "unpack it, or pack it with gzip, bzip2, xz or zstd"),
    (rb"\xff\x06\0\0sNaPpY", "a Snappy file", "unpack it, or pack it with gzip, bzip2, xz or zstd"),
    (rb"\x1f\x9d|LZIP\x01", "a file packed by compress or lzip", "unpack it, or pack it with gzip"),
    (rb"SQLite format 3\0", "an SQLite database", "write the table as CSV: sqlite3 -header -csv FILE QUERY"),
    (rb"ARROW1\0|FEA1\0|\xff\xff\xff\xff.{4}[\x0c\x10\x14]\0\0\0", "an Arrow or Feather file", _PANDAS),
    (rb"ORC.{0,16}[\0-\x08\x0e-\x1f]", "an ORC file", _PANDAS),
    (rb"Obj\x01", "an Avro file", "write it as Parquet or JSON lines"),
    (rb"\x80[\x02-\x05]", "a Python pickle", _PANDAS),
    (rb"\x93NUMPY", "a NumPy array", "write it as Parquet"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", "write it as Parquet"),
    (rb"CDF[\x01\x02\x05]", "a netCDF file", "write it as Parquet"),
    (rb"\0{12}\xc2\xea\x81\x60|HEADER RECORD\*{7}", "a SAS file", _PANDAS),
    (rb"<stata_dta>|[\x6e-\x73][\x01\x02]\x01\0", "a Stata file", _PANDAS),
    (rb"\$FL[23]", "an SPSS file", _PANDAS),
    (rb"RD[AX][23]\n", "a file of R", "write it with write.csv"),
    (rb"MATLAB 5\.0", "a MATLAB file", "write it as CSV"),
    (rb"(?i:@relation)[ \t]", "an ARFF file", "write it as CSV"),
    (
        rb"\0\x05\x16[\0\x07]",
        "what macOS keeps beside a file, not the data",
        "name the file without ._ in front",
    ),
    (rb"%PDF-", "a PDF", "get the table that it was made of, as CSV"),
    (rb"\{\\rtf", "an RTF document", "save it as plain text"),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a", "a picture", "name a file of rows"),
    (rb"version https://git-lfs\.github\.com/", "a pointer of Git LFS, not the data", "run git lfs pull"),
    (rb"-----BEGIN PGP|Salted__", "an encrypted file", "decrypt it"),
    (rb"\0{64}", "a file of zero bytes, such as a copy leaves that was cut off", "copy it once more"),
)
_TEXT_FORMATS = ("csv", "tsv", "jsonl")
_ZIPPED = (
    ("xl/", "an Excel workbook (xlsx)", _EXPORT),
    ("word/", "a Word document", "save the table as CSV"),
    ("content.xml", "an OpenDocument file (ods, odt)", _EXPORT),
    (".npy", "NumPy arrays (npz)", "write them as Parquet"),
)


def check_kind(path: Path, form: str) -> None:
    """Raises where the first bytes say that a file is not of the format `form`.

    Raises:
      ConfigError: one line that says what the file is and what to do.
    """
    packed = compression_of(path)
    if packed and form == "parquet":
        raise _error(path, f"packed with {packed}", "unpack it: Parquet packs its columns itself")
    if packed not in ("", "gzip") and form == "tfrecord":
        raise _error(path, f"packed with {packed}", "unpack it, or pack it with gzip")
    with open_bytes(path) as file:
        head = file.read(_HEAD)
    if packed and (again := compression(head)):
        raise _error(path, f"packed twice, with {packed} and inside with {again}", "unpack it once")
    named = _named(path, head, packed)
    if named is not None and not (form == "parquet" and named[0] == _PARQUET):
        raise _error(path, *named)
    if form not in ("tfrecord", "parquet") and _is_tfrecord(head):
        raise _error(path, "a TFRecord file", 'set [data] format = "tfrecord"')
    _check_json(path, head, form)


def _error(path: Path, what: str, fix: str) -> ConfigError:
    return ConfigError(f"{path}: the file is {what}: {fix}")


def _named(path: Path, head: bytes, packed: str) -> tuple[str, str] | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(path) if not packed else ("a zip archive", "unpack it and name the files in it")
    return next(((name, fix) for pattern, name, fix in _KINDS if re.match(pattern, head, re.DOTALL)), None)


def _zipped(path: Path) -> tuple[str, str]:
    fix = f"unpack it, as by unzip {path.name}, and name the files in it"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "a zip archive that is damaged", "download it again, and unpack it"
    for part, name, other in _ZIPPED:
        if any(inside.startswith(part) or inside.endswith(part) for inside in names):
            return name, other
    holds = f" that holds {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "") if names else ""
    return f"a zip archive{holds}", fix


def _is_tfrecord(head: bytes) -> bool:
    """A record begins with its length, 8 bytes of which a row of text leaves the upper five zero."""
    return len(head) > 16 and head[:3] != bytes(3) and head[3:8] == bytes(5)


def _check_json(path: Path, head: bytes, form: str) -> None:
    if form not in _TEXT_FORMATS:
        return
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if form == "jsonl" and re.match(rb"\[\s*(\{|\])", text):
        fix = "write one object a line, such as by jq -c '.[]' FILE"
        raise _error(path, "a JSON array", fix)
    first, line_end, _ = text.partition(b"\n")
    if form == "jsonl" or not first.startswith(b'{"') or not (line_end or len(head) < _HEAD):
        return
    try:
        json.loads(first)
    except ValueError:
        return
    raise _error(path, "JSON lines", 'set [data] format = "jsonl"')
