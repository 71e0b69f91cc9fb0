"""What a long piece of work says while it goes on."""

from __future__ import annotations

import logging

# The command line shows what comes through here, line by line.
PROGRESS = logging.getLogger("kembar.progress")
