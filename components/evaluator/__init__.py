"""Evaluation on TFMA, split by split, keeping the predictions that the metrics came from."""
