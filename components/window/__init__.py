"""Which spans a model is trained on together, and what was known of them before."""
