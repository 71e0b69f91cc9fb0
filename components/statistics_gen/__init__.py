"""TFDV's statistics of every split, in bounded memory."""
