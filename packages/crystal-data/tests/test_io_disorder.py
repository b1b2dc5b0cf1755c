"""Partial occupancies: refused, decided by majority, or ordered in a supercell."""

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.disorder import resolve_disorder
from crystal_data.io.options import ReadOptions
from crystal_data.io.parse import parse_record, parse_records
from crystal_data.io.read import read_crystals
from crystal_data.io.record import Record

CUBE = np.diag([4.0, 4.0, 4.0])


def mixed(*species, cell=CUBE):
    """Atoms as (Z, frac_coords, occupancy)."""
    numbers, coords, amounts = zip(*species, strict=True)
    return Crystal(cell, coords, numbers, "mix"), np.array(amounts, dtype=float)


def corner(*shares):
    return [(z, (0, 0, 0), x) for z, x in shares]


def test_majority_takes_the_most_occupied():
    crystal, amounts = mixed(*corner((11, 0.6), (19, 0.4)), (17, (0.5, 0.5, 0.5), 1.0))
    assert resolve_disorder(crystal, amounts, "majority").formula == "NaCl"


def test_majority_tie_takes_the_lower_atomic_number():
    for shares in (((19, 0.5), (11, 0.5)), ((11, 0.5), (19, 0.5))):
        crystal, amounts = mixed(*corner(*shares))
        assert resolve_disorder(crystal, amounts, "majority").formula == "Na"


@pytest.mark.parametrize(("amount", "stays"), [(0.49, False), (0.5, True), (0.7, True)])
def test_majority_empties_sites_that_are_mostly_empty(amount, stays):
    crystal, amounts = mixed((17, (0.5, 0.5, 0.5), 1.0), (3, (0, 0, 0), amount))
    assert resolve_disorder(crystal, amounts, "majority").num_atoms == 1 + stays


def test_majority_with_nothing_left():
    crystal, amounts = mixed((3, (0, 0, 0), 0.2))
    with pytest.raises(InvalidCrystalError, match="no atoms would remain") as caught:
        resolve_disorder(crystal, amounts, "majority")
    assert caught.value.reason == Reason.DISORDERED


@pytest.mark.parametrize(
    ("shares", "cells"),
    [
        (((11, 0.5), (19, 0.5)), 2),
        (((11, 0.75), (19, 0.25)), 4),
        (((11, 1 / 3), (19, 1 / 3), (37, 1 / 3)), 3),
        (((11, 0.333), (19, 0.667)), 3),
        (((11, 0.8),), 5),
        (((11, 0.6), (19, 0.2)), 5),
    ],
)
def test_order_keeps_the_composition_in_the_smallest_supercell(shares, cells):
    crystal, amounts = mixed(*corner(*shares), (17, (0.5, 0.5, 0.5), 1.0))
    ordered = resolve_disorder(crystal, amounts, "order")
    assert ordered.volume == pytest.approx(cells * crystal.volume)
    assert ordered.composition["Cl"] == cells
    wanted = {z: x * cells for z, x in shares}
    for z, amount in wanted.items():
        assert (ordered.atomic_numbers == z).sum() == pytest.approx(amount, abs=0.01 * cells)
    again = resolve_disorder(crystal, amounts, "order")
    assert np.array_equal(ordered.frac_coords, again.frac_coords)
    assert np.array_equal(ordered.atomic_numbers, again.atomic_numbers)


def test_order_counts_equal_sites_together():
    species = [(z, xyz, 0.5) for xyz in ((0, 0, 0), (0.5, 0.5, 0.5)) for z in (29, 79)]
    crystal, amounts = mixed(*species)
    ordered = resolve_disorder(crystal, amounts, "order")
    assert ordered.num_atoms == 2
    assert ordered.formula == "CuAu"


def test_order_spreads_like_atoms():
    corners = np.array(list(np.ndindex(2, 2, 2))) / 2.0
    crystal, amounts = mixed(*[(z, tuple(x), 0.5) for x in corners for z in (11, 19)])
    ordered = resolve_disorder(crystal, amounts, "order")
    sodium = ordered.frac_coords[ordered.atomic_numbers == 11]
    delta = sodium[:, None] - sodium
    delta -= np.rint(delta)
    lengths = np.linalg.norm(delta @ ordered.lattice, axis=-1)
    # Four on alternate corners of a cube, as sphalerite has it: no two share an edge.
    assert lengths[~np.eye(4, dtype=bool)].min() > 2.5


def test_order_gives_up_with_a_reason():
    crystal, amounts = mixed(*corner((11, 0.982), (19, 0.018)))
    with pytest.raises(InvalidCrystalError, match="no supercell of up to 32 cells") as caught:
        resolve_disorder(crystal, amounts, "order")
    assert caught.value.reason == Reason.DISORDERED


def test_full_sites_are_left_alone():
    crystal, amounts = mixed((11, (0, 0, 0), 0.9995), (17, (0.5, 0.5, 0.5), 1.01))
    assert resolve_disorder(crystal, amounts, "error") is crystal


def test_policies_of_the_readers():
    text = (
        "data_a\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Na 0 0 0 0.75\nK 0 0 0 0.25\n"
    )
    record = Record("a", text)
    for policy in ("error", "skip"):
        with pytest.raises(InvalidCrystalError, match="partial occupancies"):
            parse_record(record, ReadOptions(on_disorder=policy))
        [rejection] = parse_records([record], ReadOptions(on_disorder=policy))
        assert (rejection.stage, rejection.reason) == ("check", Reason.DISORDERED)
    assert parse_record(record, ReadOptions(on_disorder="majority")).num_atoms == 1
    assert parse_record(record, ReadOptions(on_disorder="order")).num_atoms == 4
    with pytest.raises(ValueError, match="on_disorder is 'drop'"):
        ReadOptions(on_disorder="drop")


def test_skip_lists_disorder_even_where_faults_are_errors(tmp_path):
    from pymatgen.core import Lattice, Structure

    alloy = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    result = read_crystals(alloy, on_invalid="error", options=ReadOptions(on_disorder="skip"))
    assert [rejection.reason for rejection in result.rejected] == [Reason.DISORDERED]
    with pytest.raises(InvalidCrystalError, match="on_invalid='skip'"):
        read_crystals(alloy, on_invalid="error")
    [ordered] = read_crystals(alloy, options=ReadOptions(on_disorder="order")).crystals
    assert ordered.composition == {"Cu": 1, "Au": 1}
