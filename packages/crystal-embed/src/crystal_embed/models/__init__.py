"""Networks that map a batch of crystals to properties."""
