"""CIF text to crystals and back, on gemmi's parser."""

from crystal_data.io.cif.read import parse_cif, split_cif
from crystal_data.io.cif.write import symmetric_cif, to_cif

__all__ = ["parse_cif", "split_cif", "symmetric_cif", "to_cif"]
