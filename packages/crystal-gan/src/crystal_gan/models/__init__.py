"""Models that can be saved: properties of crystals, and repair."""
