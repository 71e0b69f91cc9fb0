"""Splits as tables."""

import pyarrow as pa

from components.tables import thin_out


def test_rows_are_left_out_at_even_distances():
    table = pa.table({"x": list(range(101))})
    assert thin_out(table, 101) is table
    assert thin_out(table, 11)["x"].to_pylist() == list(range(0, 101, 10))
