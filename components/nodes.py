"""The ids of the graph's nodes, and the names of what steps leave in their artifacts.

Steps write, and others read, under the same name. A node has the name of its component's class, where nothing
else is said to TFX.
"""

EXAMPLE_GEN, STATISTICS_GEN, DATA_GATE = "ExampleGen", "StatisticsGen", "DataGate"
LIVE_METRICS, RETRAINING_GATE = "LiveMetrics", "RetrainingGate"
BASELINES, TUNER, TRAINER, EVALUATOR = "Baselines", "Tuner", "Trainer", "Evaluator"
QUALITY_GATE, SERVING_GATE, PUSHER = "QualityGate", "ServingGate", "AtomicPusher"
BULK_EXAMPLE_GEN, BULK_INFERRER = "BulkExampleGen", "BulkInferrer"
ACCEPTED_RESOLVER, SERVED_RESOLVER, WINDOW_RESOLVER = "AcceptedResolver", "ServedResolver", "WindowResolver"
CACHE_RESOLVER, WARM_START_RESOLVER = "CacheResolver", "WarmStartResolver"
TUNED_RESOLVER, CHAMPION_RESOLVER = "TunedResolver", "ChampionResolver"

# Files and folders, in the order in which steps leave them.
COUNTS_FILE, QUARANTINE = "counts.json", "quarantine"
STATISTICS_FILE = "FeatureStats.pb"
VERDICT_FILE = "verdict.json"
LIVE_FILE = "live.json"
BASELINES_FILE = "baselines.json"
TUNING_FILE = "tuning.json"
SLICES_FILE, CONFUSION_FILE, REASONS_FILE = "slices.json", "confusion.json", "undefined.json"
# Of both gates, on retraining and on quality.
DECISION_FILE = "decision.json"
SERVING_FILE = "serving.json"
BULK_QUARANTINE, PREDICTIONS_FILE = "bulk_quarantine", "predictions.parquet"
