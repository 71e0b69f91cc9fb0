from keras_tuner.engine import base_tuner as base_tuner, oracle as oracle, trial as trial
