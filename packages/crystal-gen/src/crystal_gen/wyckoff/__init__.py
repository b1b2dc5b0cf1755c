"""Space groups and Wyckoff positions for a composition: what answers there are, and likely ones."""
