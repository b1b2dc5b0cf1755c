"""The trained models that come with the package, by name."""

from pathlib import Path

from crystal_data.inference import ShippedModels

SHIPPED = ShippedModels("crystal-relax", Path(__file__).parent / "pretrained")
