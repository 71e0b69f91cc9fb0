"""What this project uses of KerasHub 0.32, which ships no types."""

from keras_hub import models as models
