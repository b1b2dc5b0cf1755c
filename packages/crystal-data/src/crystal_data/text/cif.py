"""CIF text in the form that ASE writes, with a fixed number of decimals."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.text.rounding import (
    CrystalTextError,
    RoundedCrystals,
    check_decimals,
    fixed_point,
    parse_numbers,
    round_checked,
)

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_LAST_HEADER = "_atom_site_occupancy"
_SYMMETRY_AND_COLUMNS = f"""
_space_group_name_H-M_alt    "P 1"
_space_group_IT_number       1

loop_
  _space_group_symop_operation_xyz
  'x, y, z'

loop_
  _atom_site_type_symbol
  _atom_site_label
  _atom_site_symmetry_multiplicity
  _atom_site_fract_x
  _atom_site_fract_y
  _atom_site_fract_z
  {_LAST_HEADER}
"""
_COLUMNS = 7


@dataclass(frozen=True, slots=True)
class CifText:
    """Writes crystals as ``ase.io.write`` does, all sites in P1, and reads these texts.

    ASE writes every digit of a double; here each number has as many decimals as asked for. For
    CIFs of other programs use ``parse_cif``.

    Args:
        decimals: Of lengths (Å), angles (degrees) and fractional coordinates.
    """

    decimals: int = 4

    def __post_init__(self) -> None:
        check_decimals(self.decimals)

    def encode(self, crystal: Crystal) -> str:
        """The text of a crystal; ``decode`` gives ``round_crystal(crystal, decimals)``.

        Raises:
            CrystalTextError: If no text can hold it.
        """
        return self._text(round_checked(crystal, self.decimals), crystal.species)

    def _text(self, rounded: RoundedCrystals, species: list[str]) -> str:
        counts: dict[str, int] = {}
        labels = []
        for symbol in species:
            counts[symbol] = counts.get(symbol, 0) + 1
            labels.append(f"{symbol}{counts[symbol]}")
        runs = ((symbol, len(list(run))) for symbol, run in groupby(species))
        structural = "".join(symbol if n == 1 else f"{symbol}{n}" for symbol, n in runs)
        total = " ".join(f"{symbol}{n}" for symbol, n in counts.items())
        parts = (rounded.lengths, rounded.angles, rounded.frac_coords)
        numbers = fixed_point(np.concatenate([part.ravel() for part in parts]), self.decimals)
        cell = zip(_CELL, numbers[:6], strict=True)
        sites = zip(species, labels, numbers[6::3], numbers[7::3], numbers[8::3], strict=True)
        return "".join(
            [
                f"data_image0\n_chemical_formula_structural       {structural}\n",
                f'_chemical_formula_sum              "{total}"\n',
                *(f"{f'_cell_{name}':21}{value}\n" for name, value in cell),
                _SYMMETRY_AND_COLUMNS,
                *(
                    f"  {s:2}  {label:8}  1.0  {x}  {y}  {z}  1.0000\n"
                    for s, label, x, y, z in sites
                ),
            ]
        )

    def decode(self, text: str, identifier: str = "") -> Crystal:
        """The crystal of a text that ``encode`` could have written; any white space separates.

        Args:
            text: What a model or ``encode`` has written.
            identifier: The crystal's, also for messages.

        Raises:
            CrystalTextError: If it is any other text; the message names the first wrong word.
        """
        name = identifier or "text"
        words = text.split()
        missing = [key for key in (*(f"_cell_{key}" for key in _CELL), _LAST_HEADER)
                   if key not in words[:-1]]  # fmt: skip
        if missing:
            raise CrystalTextError(f"{name}: nothing follows {missing[0]}")
        cell = [words[words.index(f"_cell_{key}") + 1] for key in _CELL]
        sites = words[words.index(_LAST_HEADER) + 1 :]
        if not sites or len(sites) % _COLUMNS:
            raise CrystalTextError(
                f"{name}: {len(sites)} words are no table of sites, which has {_COLUMNS} columns"
            )
        species = sites[::_COLUMNS]
        unknown = [symbol for symbol in species if symbol not in ATOMIC_NUMBERS]
        if unknown:
            raise CrystalTextError(f"{name}: {unknown[0][:40]!r} is no element")
        axes = [
            parse_numbers(name, sites[column::_COLUMNS], self.decimals, is_fraction=True)
            for column in (3, 4, 5)
        ]
        numbers = parse_numbers(name, cell, self.decimals)
        rounded = RoundedCrystals(
            lengths=numbers[None, :3],
            angles=numbers[None, 3:],
            frac_coords=np.column_stack(axes),
            atomic_numbers=np.array([ATOMIC_NUMBERS[symbol] for symbol in species]),
            num_atoms=np.array([len(species)]),
            decimals=self.decimals,
        ).check(name)
        # What is written is written in one way only, so whatever differs contradicts the sites.
        expected = self._text(rounded, species).split()
        for word, right in zip(words, expected, strict=False):
            if word != right:
                raise CrystalTextError(f"{name}: {word[:40]!r} stands where {right!r} is expected")
        if len(words) != len(expected):
            raise CrystalTextError(f"{name}: {len(words)} words, expected {len(expected)}")
        return rounded.crystal(identifier)
