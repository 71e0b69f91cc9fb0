"""Names of the files that an evaluation holds."""

SLICES, CONFUSION = "slices.json", "confusion.json"
