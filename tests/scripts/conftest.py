"""The set-up scripts are no package: they run before there is an environment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
