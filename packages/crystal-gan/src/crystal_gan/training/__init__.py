"""LightningModules of this package."""
