"""Fails where mypy knows the type of too few expressions of a package.

    typed.py REPORT PACKAGE

REPORT is `any-exprs.txt` of mypy's `--any-exprs-report`. An expression whose type is Any is not checked, and
mypy says nothing of it: a library without types turns off the check of whatever touches it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Percent of a module's expressions; each has to have more.
LEAST = 90.0
_LINE = re.compile(r"\s*(?P<module>\S+)\s+(?P<any>\d+)\s+(?P<all>\d+)\s+[\d.]+%")


def shortfalls(report: str, package: str) -> list[str]:
    """A line for each module of `package` with too few typed expressions, the worst first.

    Raises:
      ValueError: the report has no module of the package.
    """
    shares = {}
    for line in filter(None, map(_LINE.fullmatch, report.splitlines())):
        if line["module"] == package or line["module"].startswith(f"{package}."):
            shares[line["module"]] = 100 * (1 - int(line["any"]) / int(line["all"]))
    if not shares:
        raise ValueError(f"the report has no module of {package}")
    return [
        f"{module}: mypy knows the types of {share:.2f} % of the expressions, wanted is more than {LEAST:g}: "
        "annotate them, or describe the library in stubs/"
        for module, share in sorted(shares.items(), key=lambda item: item[1])
        if share <= LEAST
    ]


def main() -> int:
    """Prints what falls short; the exit code is 1 if anything does."""
    report, package = sys.argv[1:]
    lines = shortfalls(Path(report).read_text(encoding="utf-8"), package)
    for line in lines:
        print(line, file=sys.stderr)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
