"""The published structure model: symmetry-constrained diffusion of all atoms of the cell."""
