"""TF Serving's model config file as text: one model's entry is changed, and every other character stays.

Parsing and printing the message would lose comments, and fields that a newer TF Serving knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from trainer.errors import ServingError

# What a pin is written in.
_PINNED = ("model_version_policy", "version_labels")
_TOKEN = re.compile(
    r"""(?P<nothing>\s+|\#[^\n]*)|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<open>[{<\[])|(?P<close>[}>\]])|(?P<mark>[:;,])|(?P<word>[^\s"'{}<>\[\]\#:;,]+)""",
    re.DOTALL,
)


@dataclass
class _Field:
    """A field in a text: its characters `start` to `end`, and those inside the braces of each message."""

    name: str
    start: int
    end: int
    bodies: list[tuple[int, int]]


class ModelEntry(NamedTuple):
    """The entry of one model: the message, and which characters of the text stand inside its braces."""

    message: Any
    start: int
    end: int


class ConfigText:
    """The text of a file, taken apart.

    Args:
      path: The file's name in errors.
      text: What is in it.

    Raises:
      ServingError: it is no ModelServerConfig. In the entries of models, fields that are not known pass.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self.text = text
        try:
            self._lists = _bodies(text, "model_config_list")
            spans = [body for span in self._lists for body in _bodies(text, "config", *span)]
            skeleton = text
            for start, end in reversed(spans):
                skeleton = skeleton[:start] + skeleton[end:]
            self._parse(skeleton, model_server_config_pb2.ModelServerConfig())
        except _Malformed:
            self._parse(text, model_server_config_pb2.ModelServerConfig())
            raise self._wrong("braces that do not fit") from None
        self.entries = [ModelEntry(self._entry(*span, allow_unknown_field=True), *span) for span in spans]

    def find(self, name: str) -> ModelEntry | None:
        """The entry of a model.

        Raises:
          ServingError: there are two, or its policy or its labels have fields that are not known.
        """
        matches = [entry for entry in self.entries if entry.message.name == name]
        if len(matches) > 1:
            raise self._wrong(f"model {name!r} stands there {len(matches)} times")
        for entry in matches:
            for field in _fields(self.text, entry.start, entry.end):
                if field.name in _PINNED:
                    self._entry(field.start, field.end)
        return next(iter(matches), None)

    def with_pins(self, message: Any) -> str:
        """The text with this version policy and these labels in the model's entry, or with a new entry.

        Args:
          message: A ModelConfig. Of one that is there already, only policy and labels are taken.

        Raises:
          ServingError: as `find`; or the file configures its models in another way.
        """
        entry = self.find(message.name)
        text = self._changed(entry, message) if entry is not None else self._added(message)
        again = ConfigText(self._path, text)
        changed = again.find(message.name)
        others = [other.message for other in again.entries if other is not changed]
        if changed is None or others != [other.message for other in self.entries if other is not entry]:
            raise self._wrong(f"the entry of {message.name!r} cannot be changed")
        return text

    def _changed(self, entry: ModelEntry, message: Any) -> str:
        pins = model_server_config_pb2.ModelConfig()
        pins.model_version_policy.CopyFrom(message.model_version_policy)
        pins.version_labels.update(message.version_labels)
        fields = _fields(self.text, entry.start, entry.end)
        old = [field for field in fields if field.name in _PINNED]
        body, at = self.text[entry.start : entry.end], entry.start
        position = (fields[-1].end if fields else entry.start) - at
        for field in reversed(old):
            start, end = field.start - at, field.end - at
            line = body.rfind("\n", 0, start) + 1
            if line and not body[line:start].strip() and body[end : end + 1] == "\n":
                start, end = line, end + 1
            body = body[:start] + body[end:]
            position = min(position, start)
        indent = re.search(r"\n([ \t]*)\S", body) if "\n" in body else None
        if indent is None:
            new = f" {text_format.MessageToString(pins, as_one_line=True)} "
            return self.text[:at] + body[:position] + new + body[position:].lstrip() + self.text[entry.end :]
        new = _indented(text_format.MessageToString(pins), indent[1])
        if position and body[position - 1] != "\n":
            # Behind what else stands in that line, a comment among it.
            line = body.find("\n", position)
            position = line + 1 if line >= 0 else len(body)
        return self.text[:at] + body[:position] + new + body[position:] + self.text[entry.end :]

    def _added(self, message: Any) -> str:
        new = "config {\n" + _indented(text_format.MessageToString(message), "  ") + "}\n"
        if not self._lists:
            if _fields(self.text):
                raise self._wrong("it has no model_config_list")
            before = self.text if not self.text or self.text.endswith("\n") else f"{self.text}\n"
            return f"{before}model_config_list {{\n{_indented(new, '  ')}}}\n"
        [(_, end)] = self._lists  # the parser refuses a second one
        before = self.text[:end].rstrip(" \t")
        before = before if before.endswith("\n") else f"{before}\n"
        return before + _indented(new, "  ") + self.text[end:]

    def _entry(self, start: int, end: int, *, allow_unknown_field: bool = False) -> Any:
        # The lines before, so that an error counts lines as the file does.
        lines = "\n" * self.text.count("\n", 0, start)
        message = model_server_config_pb2.ModelConfig()
        return self._parse(lines + self.text[start:end], message, allow_unknown_field)

    def _parse(self, text: str, message: Any, allow_unknown_field: bool = False) -> Any:
        try:
            return text_format.Parse(text, message, allow_unknown_field=allow_unknown_field)
        except (text_format.ParseError, UnicodeError) as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, why: str) -> ServingError:
        return wrong_file(self._path, why)


def wrong_file(path: Path, why: str) -> ServingError:
    """The error of a file that is no model config file."""
    reason = " ".join(why.split())
    return ServingError(f"{path}: not a model config file of TF Serving: {reason}: correct it or delete it")


class _Malformed(Exception):
    """The text cannot be taken apart."""


def _bodies(text: str, name: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    return [body for field in _fields(text, start, end) if field.name == name for body in field.bodies]


def _fields(text: str, start: int = 0, end: int | None = None) -> list[_Field]:
    """The fields of one message, whose text this is, without those of messages inside."""
    fields: list[_Field] = []
    opened: list[re.Match[str]] = []
    awaited = False  # the last field's value
    for token in _tokens(text, start, len(text) if end is None else end):
        kind = token.lastgroup
        if kind == "word" and not opened and not awaited:
            fields.append(_Field(token.group(), token.start(), token.end(), []))
            awaited = True
        elif kind != "mark":
            if not fields or (not opened and (kind == "close" or (kind == "open" and not awaited))):
                raise _Malformed
            if kind == "open":
                opened.append(token)
            elif kind == "close":
                opening = opened.pop()
                if opening.group() != "[" and [outer.group() for outer in opened] in ([], ["["]):
                    fields[-1].bodies.append((opening.end(), token.start()))
            if not opened:
                fields[-1].end = token.end()
            awaited = False
    if opened or awaited:
        raise _Malformed
    return fields


def _tokens(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    while start < end:
        token = _TOKEN.match(text, start, end)
        if token is None:
            raise _Malformed
        if token.lastgroup != "nothing":
            yield token
        start = token.end()


def _indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in text.splitlines())
