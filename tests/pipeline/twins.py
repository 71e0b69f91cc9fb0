"""The configuration of a pair's pipeline that has every node there can be."""

CONFIG = """
[pipeline]
name = "twins"
[data]
format = "csv"
text_a = "a"
text_b = "b"
label = { column = "same", kind = "binary" }
"""
EVERYTHING = """
pattern = "{SPAN}.csv"
[retraining]
warm_start = true
[tuning]
space = { "training.learning_rate" = [0.1, 0.2] }
[bulk]
input = "bulk.csv"
"""
