"""What a person sees is what was said: no word of it is taken for markup."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from pipeline.config import load
from pipeline.history import table
from pipeline.retraining.ledger import Entry

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


def test_the_history_shows_a_reason_that_names_a_section(new_terminal, capfd):
    reason = "nothing to do ([retraining] max_age = 30.0 days) [/red]"
    entry = Entry(at="2026-11-25T04:10:00", status="skipped", reason=reason, seconds=1.0)
    new_terminal().table(table([entry], load(STS)))
    assert reason in capfd.readouterr().out
