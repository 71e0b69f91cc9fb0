"""What the model in service reaches on data that is new to it."""

# Where it is left.
FILE = "live.json"
