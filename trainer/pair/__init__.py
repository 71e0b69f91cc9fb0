"""The family `pair`: two texts, one shared tower, one score."""
