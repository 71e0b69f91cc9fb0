"""Which model is in service."""
