"""A push that TF Serving either sees whole or not at all."""
