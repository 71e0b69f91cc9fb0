"""Simple methods that the model has to beat, measured on the same splits by the same metrics."""
