"""Crystals as text and as tokens of a closed vocabulary, each with its exact way back.

Apart from ``io``, which reads what other programs write and decides by evidence: here a text is
read only if it is exactly what would be written.
"""

from crystal_data.text.cif import CifText
from crystal_data.text.compact import CompactText
from crystal_data.text.rounding import CrystalTextError, TextFailure, round_crystal
from crystal_data.text.tokens import CrystalTokenizer

__all__ = [
    "CifText",
    "CompactText",
    "CrystalTextError",
    "CrystalTokenizer",
    "TextFailure",
    "round_crystal",
]
