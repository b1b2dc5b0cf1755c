"""The trained models that come with the package, by name."""

from pathlib import Path

from crystal_data.inference import ShippedModels

#: What `generate` and `symmetry` use where nothing else is named.
STRUCTURE_MODEL = "crystal-dit-joined"
SYMMETRY_MODEL = "wyckoff-transformer-mp20"
TEMPLATES = "templates-mp20"
RANKER = "candidate-ranker-mp20"
FORMULA_MODEL = "formula-energy-mp20"

SHIPPED = ShippedModels("crystal-gen", Path(__file__).parent / "pretrained")
