"""The names under which artifacts may ask for classes of this package."""

from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry(
    "crystal_gen",
    {
        "CrystalDiT": "crystal_gen.crystal_dit",
        "PublishedDiT": "crystal_gen.published.model",
        "TemplateLibrary": "crystal_gen.templates.library",
        "WyckoffTransformer": "crystal_gen.wyckoff.model",
    },
)
