from crystal_data.artifacts.registry import ModelRegistry

MODELS = ModelRegistry(
    "crystal_toy",
    {
        "ElementSum": "crystal_toy.model",
        "NoisySum": "crystal_toy.noisy",
        "WordSum": "crystal_toy.words",
    },
)
