"""Parts that the trainings of all families share."""
