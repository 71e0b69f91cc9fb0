"""Reads what an HTTP server has sent."""

import re


def split_answers(data: bytes):
    """The status and body of each HTTP answer in `data`."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 100:
            continue
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        yield status, data[:length]
        data = data[length:]
