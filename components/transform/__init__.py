"""TFX's Transform, reading and writing many examples at a time."""
