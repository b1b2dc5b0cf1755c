"""The names under which artifacts may ask for classes of this package."""

from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry(
    "crystal_relax",
    {
        "GraphRelaxer": "crystal_relax.graph.model",
        "T5Relaxer": "crystal_relax.text.t5",
        "TextRelaxer": "crystal_relax.text.model",
    },
)
