"""What `trainer` uses of TF Serving's messages, which ship no types."""
