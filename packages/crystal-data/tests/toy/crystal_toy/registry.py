from crystal_data.training.registry import ModelRegistry

MODELS = ModelRegistry(
    "crystal_toy", {"ElementSum": "crystal_toy.model", "NoisySum": "crystal_toy.noisy"}
)
