"""What the exported models of all families share."""
