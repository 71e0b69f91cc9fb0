"""Names of the files that steps leave in their artifacts."""

COUNTS, VERDICT = "counts.json", "verdict.json"
TUNING, BASELINES = "tuning.json", "baselines.json"
SLICES, CONFUSION, REASONS = "slices.json", "confusion.json", "undefined.json"
QUALITY, SERVING = "decision.json", "serving.json"
# Of the model in service on new data, and of the decision to train on that.
LIVE, TRAINING_DECISION = "live.json", "decision.json"
