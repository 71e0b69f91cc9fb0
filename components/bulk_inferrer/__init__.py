"""Rows without a label through the model that was pushed: TFX's BulkInferrer, and a table of what it says."""
