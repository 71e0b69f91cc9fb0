"""Lines of progress of long work."""

from __future__ import annotations

import logging

# The command line shows what comes through here, line by line.
PROGRESS = logging.getLogger("kembar.progress")
