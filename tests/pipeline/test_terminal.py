"""What a person sees is what was said: no word of it is taken for markup."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pipeline.config.configuration import load
from pipeline.runs.history import table
from pipeline.store.ledger import LedgerEntry
from pipeline.terminal import printable

STS = Path(__file__).parents[2] / "configs" / "sts.toml"
SAID = "[retraining] max_age = 30.0 days [/red] [bold]x[/bold] :warning:"


def test_lines_and_tables_show_markup_and_emoji_as_they_are(new_terminal, capfd):
    terminal = new_terminal()
    cells = Table(f"new {SAID}", box=None)
    cells.add_row(f"cell {SAID}")
    terminal.say(SAID)
    terminal.result(SAID)
    terminal.table(cells)
    out, err = capfd.readouterr()
    assert err == f"{SAID}\n"
    assert [line.strip() for line in out.splitlines()] == [SAID, f"new {SAID}", f"cell {SAID}"]


NASTY = "\x1b[31mred\x9b2J\u202etxt.exe\x07\r\n\u2028\udcff"
ESCAPED = r"\u001b[31mred\u009b2J\u202etxt.exe\u0007\r\n\u2028\udcff"


def test_control_characters_are_shown_and_never_sent(new_terminal, capfd):
    terminal = new_terminal()
    cells = Table(NASTY, box=None)
    cells.add_row(NASTY)
    terminal.say(NASTY)
    terminal.table(cells)
    out, err = capfd.readouterr()
    assert err == f"{ESCAPED}\n"
    assert [line.strip() for line in out.splitlines()] == [ESCAPED] * 2
    terminal.result(f"a\tb\n{NASTY}")
    assert capfd.readouterr().out == f"a\tb\n{ESCAPED}\n".replace(r"\n", "\n", 1)


@given(st.text())
def test_what_is_printable_is_a_line_and_says_all(text):
    shown = printable(text)
    assert shown.splitlines() in ([], [shown])
    assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in shown)
    assert all(unicodedata.bidirectional(letter) not in BIDI for letter in shown)
    if "\\" not in text and '"' not in text:
        assert json.loads(f'"{shown}"') == text


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_what_people_write_stays_as_it_is():
    for text in ("❤️ 👩🏽‍🚀 🇮🇩", "שלום", "مرحبا", "naïve — “x”", "[red] :tada:"):
        assert printable(text) == text


def test_a_table_that_is_piped_has_a_line_a_row_however_long(new_terminal, capfd):
    cells = Table("a", "b", box=None)
    for _ in range(2):
        cells.add_row("word " * 200, "x" * 3_000)
    new_terminal().table(cells)
    out = capfd.readouterr().out
    assert [len(line.split()) for line in out.splitlines()] == [2, 201, 201]


def test_progress_is_shown_on_a_terminal_alone(new_terminal, capfd):
    with new_terminal().progress() as show:
        show("5 rows")
    assert capfd.readouterr().err == ""


def test_the_history_shows_a_reason_that_names_a_section(new_terminal, capfd):
    reason = "nothing to do ([retraining] max_age = 30.0 days) [/red]"
    entry = LedgerEntry(at="2026-11-25T04:10:00", status="skipped", reason=reason, seconds=1.0)
    new_terminal().table(table([entry], load(STS)))
    assert reason in capfd.readouterr().out


def test_a_device_in_place_of_a_log_keeps_its_permissions(new_terminal):
    """As /dev/null does, the log of `compile --output /dev/stdout`: the whole machine writes to it."""
    master, device = os.openpty()
    path = Path(os.ttyname(device))
    try:
        path.chmod(0o622)
        with new_terminal().noise_to(path):
            pass
        assert stat.S_IMODE(path.stat().st_mode) == 0o622
    finally:
        os.close(master)
        os.close(device)
