"""Models, and their pushes, as they are on record."""

from tfx.types import standard_artifacts

from components.champion import MODEL_ID


def model(number):
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def pushed(at, number, *, really=True):
    artifact = standard_artifacts.PushedModel()
    artifact.id = at
    artifact.set_int_custom_property("pushed", int(really))
    if really:
        artifact.set_int_custom_property(MODEL_ID, number)
    return artifact
