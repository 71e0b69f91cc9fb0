"""Metrics of the model in service on data that is new to it."""
