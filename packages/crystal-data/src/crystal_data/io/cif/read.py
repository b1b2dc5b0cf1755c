"""The crystal of a CIF text."""

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif.atoms import ListedAtoms, SiteNames, has_atoms, read_atoms, read_lattice
from crystal_data.io.cif.block import CifBlock, as_number, as_text, parse_blocks
from crystal_data.io.cif.stated import StatedSymmetry, stated_symmetry
from crystal_data.io.cif.symmetry import Atoms, all_atoms
from crystal_data.io.disorder import resolve_disorder
from crystal_data.io.distances import check_distances
from crystal_data.io.formula import Fit, Formula, parse_formula, shortened
from crystal_data.io.options import DEFAULT, ReadOptions


def parse_cif(text: str, identifier: str = "", options: ReadOptions = DEFAULT) -> Crystal:
    """The one structure of a CIF text, symmetry expanded to P1.

    Where a file contradicts itself, a stated rule decides, or it is refused;
    ``crystal_data.io.cif.symmetry`` has the rules. What had to be decided is in ``notes``.

    Args:
        text: With any line ends. Of several data blocks one may hold a structure.
        identifier: The crystal's, and what messages name.
        options: How to read.

    Returns:
        Coordinates as listed; those that symmetry adds lie in [0, 1).

    Raises:
        InvalidCrystalError: With the reason, if the text cannot be used.
    """
    blocks = [CifBlock(block, identifier) for block in parse_blocks(text, identifier)]
    if len(blocks) > 1:
        structures = [block for block in blocks if has_atoms(block)]
        if len(structures) > 1:
            detail = (
                f"{len(structures)} data blocks hold a structure, one was expected; "
                "split_cif gives a text for each"
            )
            raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
        blocks = structures or blocks
    return _crystal(blocks[0], options, is_whole=text.endswith(("\n", "\r")))


def split_cif(text: str, identifier: str = "") -> list[tuple[str, str]]:
    """Identifier and text of each structure in a CIF with any number of data blocks.

    A single block keeps the identifier; of several, each is ``identifier#block``. A block
    without a structure, such as a header with the authors, is left out if another has one.

    Raises:
        InvalidCrystalError: ``EMPTY`` or ``UNREADABLE``.
    """
    if text.lower().count("data_") == 1:
        return [(identifier, text)]
    blocks = parse_blocks(text, identifier)
    if len(blocks) == 1:
        return [(identifier, text)]
    structures = [block for block in blocks if has_atoms(CifBlock(block, identifier))] or blocks
    parts, seen = [], dict[str, int]()
    for block in structures:
        name = block.name.strip() or "block"
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}-{seen[name]}"
        parts.append((f"{identifier}#{name}", block.as_string()))
    return parts


def _crystal(block: CifBlock, options: ReadOptions, *, is_whole: bool) -> Crystal:
    lattice = read_lattice(block)
    formula = _formula(block)
    # A formula that does not count decides nothing about labels either.
    listed = read_atoms(block, formula if options.on_formula == "error" else Formula({}))
    stated = stated_symmetry(block)
    atoms = _readings(listed, lattice, stated, formula, block.identifier, options)
    is_formula_needed = not is_whole and options.on_formula == "error"
    if is_formula_needed and formula.fit(atoms.counted()) == Fit.CONTRADICTS:
        said = shortened(str(formula))
        detail = f"the text stops within a line, and its atoms are not the formula's {said}"
        raise InvalidCrystalError(block.identifier, Reason.UNREADABLE, detail)
    crystal = Crystal(
        lattice, atoms.frac_coords, atoms.atomic_numbers, block.identifier, notes=atoms.notes
    )
    if atoms.occupancies is None:
        check_distances(crystal, options.min_distance, SiteNames(listed.names, atoms.source))
        return crystal
    crystal = resolve_disorder(crystal, atoms.occupancies, options.on_disorder)
    check_distances(crystal, options.min_distance)
    return crystal


def _formula(block: CifBlock) -> Formula:
    raw, units = block.raws(("chemical_formula_sum", "cell_formula_units_z"))
    text = as_text(raw) if raw else ""
    number = as_number(units) if units else 0.0
    return Formula(parse_formula(text), number if number > 0.0 else 0.0, text)


def _readings(
    listed: ListedAtoms,
    lattice: NDArray[np.float64],
    stated: StatedSymmetry,
    formula: Formula,
    identifier: str,
    options: ReadOptions,
) -> Atoms:
    """All atoms, by the one reading of the labels that makes the formula."""
    source = np.arange(len(listed.frac_coords))
    tried = [
        Atoms(lattice, listed.frac_coords, numbers, listed.occupancies, source, listed.notes)
        for numbers in listed.readings
    ]
    if len(tried) == 1:
        return all_atoms(tried[0], stated, formula, identifier, options)
    fitting = []
    for atoms in tried:
        try:
            made = all_atoms(atoms, stated, formula, identifier, options)
        except InvalidCrystalError:
            continue
        if formula.fit(made.counted()) > Fit.NO_EVIDENCE:
            fitting.append(made)
    if len(fitting) == 1:
        return fitting[0].noted(f"labels were read so that they make the formula {formula.text!r}")
    detail = (
        f"labels such as {shortened(', '.join(listed.names[:3]))} may mean several elements, and "
        f"the formula {shortened(formula.text)!r} does not decide; add _atom_site_type_symbol"
    )
    raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
