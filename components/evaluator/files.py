"""Names of the files that an evaluation holds."""

SLICES, CONFUSION, REASONS = "slices.json", "confusion.json", "undefined.json"
