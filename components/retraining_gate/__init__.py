"""Whether new data is a reason to train again."""
