"""Rows without a label through the model that was pushed, and a table of what it says."""
