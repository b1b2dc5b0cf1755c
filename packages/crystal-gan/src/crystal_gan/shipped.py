"""The trained models that come with the package, by name."""

from pathlib import Path

from crystal_data.inference import ShippedModels

#: The model that `repair` and `vary` use where none is named.
REPAIR = "repair-mp20"
SHIPPED = ShippedModels(
    "crystal-gan",
    Path(__file__).parent / "pretrained",
    default=("equiformer-formation-energy", "equiformer-band-gap"),
)


def predictors_of(target: str) -> list[str]:
    """Names of the shipped models that predict a property."""
    from crystal_data.artifacts import Artifact

    folders = SHIPPED.artifacts().items()
    return [name for name, folder in folders if target in Artifact.load(folder).targets]
