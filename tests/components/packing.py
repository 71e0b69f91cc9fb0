"""Ways to pack a table."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import pyarrow as pa

PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
}
