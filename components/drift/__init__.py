"""Samples of data held against a profile of earlier data."""
