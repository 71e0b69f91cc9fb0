"""The folder of versions that TF Serving watches: pushes, pins, log and mirror."""
