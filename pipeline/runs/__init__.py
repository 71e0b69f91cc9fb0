"""A run: its steps, how it ended, and what is said of it."""
