"""Scheduled retraining: which data is new, whether to train, what is remembered of it."""
