"""From a text to its tokens, in TensorFlow and in Arrow."""
