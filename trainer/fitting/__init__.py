"""What the trainings of all families share."""
