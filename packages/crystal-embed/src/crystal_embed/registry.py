"""The names under which artifacts may ask for models of this package."""

from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry(
    "crystal_embed",
    {
        "ALIGNN": "crystal_embed.models.alignn",
        "CGCNN": "crystal_embed.models.cgcnn",
        "CrystalTransformer": "crystal_embed.models.crystal_transformer",
        "MEGNet": "crystal_embed.models.megnet",
    },
)
