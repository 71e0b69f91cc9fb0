"""Parts that the exported models of all families share."""
