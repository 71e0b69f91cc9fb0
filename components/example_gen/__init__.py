"""Ingestion: delimited text into tf.Examples, bad rows into quarantine."""
