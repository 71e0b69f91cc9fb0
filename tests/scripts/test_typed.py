"""The judgement on mypy's report of expressions that it knows no type of."""

import pytest
import typed

REPORT = """\
            Name   Anys   Exprs   Coverage
------------------------------------------
       trainer.a     20     200     90.00%
       trainer.b     19     200     90.50%
     trainer.c.d    159     200     20.50%
         trainer      0       4    100.00%
       trainer.e   1999   20001     90.01%
 trainers.others     50      50      0.00%
------------------------------------------
           Total   2247   20655     89.12%
"""


def test_modules_at_or_under_the_limit_are_named_the_worst_first():
    found = typed.shortfalls(REPORT, "trainer")
    assert [line.split(" % ")[0] for line in found] == [
        "trainer.c.d: mypy knows the types of 20.50",
        "trainer.a: mypy knows the types of 90.00",
    ]


def test_the_exit_code_says_so(tmp_path, monkeypatch, capsys):
    path = tmp_path / "any-exprs.txt"
    monkeypatch.setattr("sys.argv", ["typed.py", str(path), "trainer"])
    path.write_text(REPORT)
    assert typed.main() == 1
    assert capsys.readouterr().err.startswith("trainer.c.d: ")
    path.write_text(
        "\n".join(line for line in REPORT.splitlines() if ".a " not in line and ".d " not in line)
    )
    assert typed.main() == 0
    assert capsys.readouterr().err == ""


def test_a_report_without_the_package_is_no_success():
    with pytest.raises(ValueError, match="no module of pipeline"):
        typed.shortfalls(REPORT, "pipeline")
