"""A small pipeline of daily files."""

CONFIG = """
[pipeline]
name = "twins"

[data]
format = "csv"
pattern = "days/{YYYY}-{MM}-{DD}.csv"
text_a = "sentence1"
text_b = "sentence2"
label = { column = "score", kind = "score", range = [0, 5] }

[data.spans]
window = 3

[model]
embedding_dim = 16
ngrams = []
oov_buckets = 10

[training]
epochs = 2
batch_size = 32
learning_rate = 1e-2

[gates]
floors = { spearman = -1.0 }
beat_baselines = false
champion_margin = -2.0

[retraining]
keep_runs = 2
"""
