"""The pipeline as a graph of components, and what its cache keys cover."""
