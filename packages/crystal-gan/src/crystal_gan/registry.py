"""The names under which artifacts may ask for models of this package."""

from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry(
    "crystal_gan",
    {
        "Equiformer": "crystal_gan.models.equiformer",
        "RepairModel": "crystal_gan.models.repair",
    },
)
