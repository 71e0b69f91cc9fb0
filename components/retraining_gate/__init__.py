"""The gate before training: is new data a reason to train again?"""
