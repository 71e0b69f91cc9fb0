"""Properties that tell which model is in service."""

# Custom properties by which the pusher tells which Model artifact a PushedModel came from, and where it went.
MODEL_ID = "model_id"
PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"
