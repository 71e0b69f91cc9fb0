"""Metrics of the model in service on data that is new to it."""

# Where it is left.
FILE = "live.json"
