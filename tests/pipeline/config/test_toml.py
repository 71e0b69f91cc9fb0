"""The limits of what a configuration file may be, to the byte, and what is shown of one beyond them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.toml import check_strings, is_deep, parse_value, read_toml
from trainer.errors import ConfigError


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "c.toml"


def message(path: Path, content: bytes) -> str:
    """The error of a file, without its name in front."""
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_has_at_most_4_mebibytes(path):
    path.write_bytes(b"a = 1 #" + b"x" * (4_194_304 - 7))
    assert read_toml(path) == {"a": 1}
    assert message(path, b"a = 1 #" + b"x" * (4_194_305 - 7)) == (
        "has more than 4,194,304 bytes, and no configuration has: is it the data?"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\n\nb = '\xe9'\n", "not UTF-8 in line 3"),
        (b"\xe9", "not UTF-8 in line 1"),
        (b"\xff\xfe" + "a = 1".encode("utf-16-le"), "it is UTF-16"),
        (b"\xfe\xff" + "a = 1".encode("utf-16-be"), "it is UTF-16"),
    ],
)
def test_a_file_in_another_encoding_is_named(path, content, said):
    assert message(path, content) == f"cannot be read: {said}: save it as UTF-8"


def test_a_byte_order_mark_is_nothing(path):
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path) == {"a": 1}


@pytest.mark.parametrize("end", ["", "\nb = 2\n"])
def test_the_line_of_a_mistake_is_shown_up_to_80_characters(path, end):
    short, long = (f"key = {'y' * length}" for length in (74, 75))
    said = "not valid TOML: Invalid value (at line 2, column "
    assert message(path, f"a = 1\n  {short}{end}".encode()) == f"{said}9): {short}"
    assert message(path, f"a = 1\n{long}{end}".encode()) == f"{said}7): {long[:-1]}…"


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_a_mistake_at_the_end_or_in_a_file_of_another_kind(path, tmp_path, kind):
    assert message(path, b"[a") == (
        "not valid TOML: Expected ']' at the end of a table declaration (at end of document)"
    )
    data = tmp_path / f"c.{kind}"
    assert message(data, b"a,b\n") == (
        "not valid TOML: Expected '=' after a key in a key/value pair (at line 1, column 2): a,b: "
        f"is it data? kembar run {data} proposes a configuration"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [(r'p = "C:\q"', True), (r"p = 'C:\q' x", False), ('p = "C:/q" x', False)],
)
def test_an_escape_is_spoken_of_where_there_is_one(path, line, told):
    assert ("begins an escape" in message(path, line.encode())) is told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x = " + b"[" * 100_000, "not valid TOML: nested too deeply"),
        (b"x = " + b"1" * 5_000, "not valid TOML: a number of thousands of digits"),
        (b"a = 1\0", "cannot be read: no text: give the path of a configuration, such as configs/sts.toml"),
    ],
)
def test_what_python_does_not_read_is_one_line_too(path, content, said):
    assert message(path, content) == said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file: give the path of a configuration, such as configs/sts.toml"),
        (lambda path: path.symlink_to("b.toml"), "is a link to b.toml, which is not there"),
        (Path.mkdir, "cannot be read: a folder: give the path of a configuration in it"),
        (os.mkfifo, "cannot be read: a pipe: write the configuration into a file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_named(path, make, said):
    make(path)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert str(caught.value) == f"{path}: {said}"


def test_what_a_shell_has_opened_is_read_though_it_is_a_pipe():
    read, write = os.pipe()
    os.write(write, b"a = 1")
    os.close(write)
    assert read_toml(Path(f"/dev/fd/{read}")) == {"a": 1}
    os.close(read)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("abc", "abc"), ("", ""), ("'3'", "3"), ("1\nx = 2", "1\nx = 2"), ("[" * 9_999, "[" * 9_999)],
)
def test_a_setting_is_one_value_or_its_text(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("wrap", [lambda inner: [1, inner], lambda inner: {"a": inner, "b": 1}])
def test_lists_and_tables_are_nested_less_than_50_deep(path, wrap):
    value: Any = 1
    for _ in range(49):
        value = wrap(value)
    assert not is_deep(value)
    assert is_deep(wrap(value))


def test_a_file_is_nested_less_than_50_deep(path):
    path.write_text(".".join("a" * 49) + " = 1")
    assert read_toml(path)["a"]
    assert message(path, b".".join([b"a"] * 50) + b" = 1") == "not valid TOML: nested too deeply"


@pytest.mark.parametrize("text", ["\ud800", "x\udfffx"])
def test_half_a_character_is_named_with_its_key(text):
    check_strings({"a": {"b": ["\ud7ff\ue000\U0001f600", 1]}, "c": 2}, "x")
    for values, key in (
        ({"a": {"b": {"c": text}}}, "[a] b.c"),
        ({"a": {"b": ["", text]}}, "[a] b"),
        ({"a": {"b": [{"c": text}]}}, "[a] b.c"),
        ({"a": {text: 1}}, "[a] key"),
        ({"a": text}, "[a]"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_strings(values, "x.toml")
        assert str(caught.value) == f"x.toml: {key} = {text!r}: is not UTF-8: give it another name"
