"""What the model has to beat: simple methods, measured on the same splits by the same metrics."""
