"""Names that the check refuses, and those that it lets pass."""

import names
import pytest

CLEAN = """
import re as regular
class Reader:
    def read(self, path, *, limit=1):
        for index, stone in enumerate(path):
            self.total = index
"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def look_up(): pass", "look_up"),
        ("async def told(): pass", "told"),
        ("def f(asked): pass", "asked"),
        ("found = 1", "found"),
        ("self.no_one = 1", "no_one"),
        ("for _said in (): pass", "_said"),
        ("lambda place: 1", "place"),
        ("import re as note", "note"),
        ("try: pass\nexcept OSError as one: pass", "one"),
        ("class Bags: pass", "Bags"),
    ],
)
def test_vague_names_are_refused_with_their_line(tmp_path, source, name):
    file = tmp_path / "a.py"
    file.write_text(f"{CLEAN}\n{source}\n")
    lines = names.findings([file])
    assert [line.split(": ")[1] for line in lines] == [name]
    assert lines[0].startswith(f"{file}:{8 + source.count(chr(10))}: ")


def test_words_that_only_contain_such_a_word_pass(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(CLEAN + "\nfoundation = None\nplaceholder = f(one=2)\nprint(told)\n")
    assert names.findings([file]) == []


def test_a_public_class_has_its_name_alone(tmp_path):
    for file in ("a.py", "b.py", "c.py"):
        (tmp_path / file).write_text(
            "class Plan:\n    class Row: pass\nclass _Row: pass\nclass Executor: pass\n"
        )
    lines = names.findings(sorted(tmp_path.iterdir()))
    assert [line.rpartition("/")[2] for line in lines] == ["a.py:1 has the name too"] * 2


def test_the_exit_code_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["names.py", str(tmp_path)])
    (tmp_path / "a.py").write_text("asked = 1\n")
    assert names.main() == 1
    assert capsys.readouterr().err == f"{tmp_path / 'a.py'}:1: asked: the name says little\n"
    (tmp_path / "a.py").write_text("request = 1\n")
    assert names.main() == 0
    (tmp_path / "a.py").unlink()
    with pytest.raises(SystemExit, match="no Python file"):
        names.main()
