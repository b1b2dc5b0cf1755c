"""The lattice vector: golden numbers, the way back, families, cells that do not exist."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import logm, sqrtm

from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry import all_lattice_parameters, free_lattice_parameters
from crystal_gen.lattice_vector import (
    FamilyConstraint,
    family_constraints,
    lattice_basis,
    lattice_parameters,
    lattice_vector,
    metric_of,
    metric_of_vector,
    vector_of_lattice,
)

GOLDEN = [
    ((4, 4, 4, 90, 90, 90), (0, 0, 0, 0, 0, 2.40113)),
    ((3, 3, 5, 90, 90, 120), (-0.38842, 0, 0, 0, -0.47581, 2.11473)),
    ((3, 3, 5, 90, 90, 90), (0, 0, 0, 0, -0.41709, 2.19778)),
    ((3, 4, 5, 90, 90, 90), (0, 0, 0, -0.20342, -0.29964, 2.36387)),
    ((3, 4, 5, 90, 100, 90), (0, -0.11877, 0, -0.21062, -0.29961, 2.35503)),
    ((3, 4, 5, 80, 95, 100), (-0.11736, -0.04957, 0.12006, -0.20076, -0.30388, 2.34519)),
    ((4, 4, 4, 60, 60, 60), (0.32675, 0.32675, 0.32675, 0, 0, 2.20104)),
]
FREE = st.tuples(*[st.floats(2, 20)] * 3, *[st.floats(70, 110)] * 3)


def one(parameters) -> torch.Tensor:
    return torch.tensor([parameters], dtype=torch.float64)


@pytest.mark.parametrize(("parameters", "expected"), GOLDEN)
def test_golden_numbers(parameters, expected):
    vector = lattice_vector(one(parameters))[0]
    assert vector.tolist() == pytest.approx(expected, abs=6e-6)


def test_basis_is_orthonormal():
    products = torch.einsum("aij,bij->ab", lattice_basis(), lattice_basis())
    torch.testing.assert_close(products, torch.eye(6, dtype=torch.float64))


@settings(deadline=None, max_examples=30)
@given(FREE, st.integers(0, 2**32 - 1))
def test_as_matrix_functions_say_and_whatever_the_orientation(parameters, seed):
    lattice = lattice_from_parameters(np.array(parameters[:3]), np.array(parameters[3:]))
    logarithm = np.real(logm(sqrtm(lattice @ lattice.T)))
    expected = np.einsum("ij,kij->k", logarithm, lattice_basis().numpy())
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    for rows in (lattice, lattice @ turn):
        vector = vector_of_lattice(torch.from_numpy(rows)[None])[0]
        np.testing.assert_allclose(vector, expected, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(FREE, st.integers(1, 230))
def test_round_trip_and_constraints_of_every_group(parameters, number):
    free = list(free_lattice_parameters(number))
    cell = all_lattice_parameters(number, np.array(parameters)[free])
    vector = lattice_vector(one(cell.tolist()))
    is_free, bias = family_constraints()
    constraint = FamilyConstraint(is_free[None, number], bias[None, number])
    torch.testing.assert_close(constraint.apply(vector), vector, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        metric_of_vector(vector), metric_of(one(cell.tolist())), atol=1e-9, rtol=1e-9
    )
    leaves = torch.zeros(1, 6, dtype=torch.bool)
    leaves[0, free] = True
    back = lattice_parameters(vector, torch.tensor([number]), leaves)
    np.testing.assert_allclose(back[0], cell, atol=1e-7)


@pytest.mark.parametrize("number", [1, 5, 62, 99, 148, 194, 221])
def test_any_vector_becomes_a_cell_of_its_family(number):
    rng = np.random.default_rng(number)
    is_free, bias = family_constraints()
    constraint = FamilyConstraint(is_free[None, number], bias[None, number])
    vector = constraint.apply(torch.from_numpy(rng.normal(size=(1, 6))))
    free = list(free_lattice_parameters(number))
    leaves = torch.zeros(1, 6, dtype=torch.bool)
    leaves[0, free] = True
    cell = lattice_parameters(vector, torch.tensor([number]), leaves)
    # Exactly: equal lengths and fixed angles have no rounding.
    assert cell[0].tolist() == all_lattice_parameters(number, cell[0][free]).tolist()
    # And nothing was lost by it: the vector's own metric has them too.
    torch.testing.assert_close(metric_of(cell), metric_of_vector(vector), atol=1e-9, rtol=1e-9)


def test_single_precision():
    vector = lattice_vector(torch.tensor([[3.0, 4.0, 5.0, 80.0, 95.0, 100.0]]))
    assert vector.dtype == torch.float32
    assert vector[0, 5] == pytest.approx(2.34519, abs=6e-6)


def test_cells_that_do_not_exist():
    with pytest.raises(InvalidArgumentError, match=r"crystal 1 of the batch: .* span no volume"):
        lattice_vector(
            torch.tensor([[3.0, 4, 5, 90, 90, 90], [3, 4, 5, 60, 60, 130]], dtype=torch.float64)
        )
    with pytest.raises(InvalidArgumentError, match=r"volume -27 Å³; give .* right-handed"):
        vector_of_lattice(-3 * torch.eye(3)[None])
    with pytest.raises(InvalidArgumentError, match="has the volume 0 Å³"):
        vector_of_lattice(torch.zeros(1, 3, 3))
