"""The vector of a cell and back, on random cells."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crystal_data.errors import InvalidArgumentError
from crystal_data.symmetry import lattice_from_free_parameters
from crystal_gen.lattice_vector import (
    bases,
    family_constraints,
    lattice_of_parameters,
    lattice_of_vector,
    parameters_of_lattice,
    vector_of_lattice,
)


def test_bases_are_orthonormal() -> None:
    gram = torch.einsum("aij,bij->ab", bases(), bases())
    assert torch.allclose(gram, torch.eye(6, dtype=torch.float64))


@given(st.integers(0, 2**32 - 1))
def test_there_and_back(seed: int) -> None:
    vector = torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 6)))
    assert torch.allclose(vector_of_lattice(lattice_of_vector(vector)), vector, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_no_rotation_changes_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = torch.from_numpy(rng.normal(size=(3, 3)) + 4.0 * np.eye(3))
    rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))))[0]
    assert torch.allclose(vector_of_lattice(lattice @ rotation), vector_of_lattice(lattice))


@pytest.mark.parametrize(
    ("number", "parameters"),
    [
        (2, (4.0, 5.0, 6.0, 80.0, 95.0, 102.0)),
        (14, (4.0, 5.0, 6.0, 103.0)),
        (62, (4.0, 5.0, 6.0)),
        (139, (4.0, 11.0)),
        (166, (4.0, 17.0)),
        (194, (3.0, 5.0)),
        (225, (5.6,)),
    ],
)
def test_constraints_of_families(number: int, parameters: tuple[float, ...]) -> None:
    lattice = torch.from_numpy(lattice_from_free_parameters(number, parameters))
    vector = vector_of_lattice(lattice)
    free, fixed = family_constraints()
    assert int(free[number].sum()) == len(parameters)
    assert torch.allclose(vector[~free[number]], fixed[number][~free[number]], atol=1e-9)
    back = parameters_of_lattice(lattice_of_vector(vector))
    assert torch.allclose(back, parameters_of_lattice(lattice), atol=1e-6)
    assert torch.allclose(lattice_of_parameters(back), lattice, atol=1e-6)


def test_the_last_component_is_the_volume() -> None:
    vector = torch.tensor([0.1, 0.2, -0.3, 0.2, 0.1, 2.0], dtype=torch.float64)
    volume = torch.linalg.det(lattice_of_vector(vector))
    assert float(volume.log()) == pytest.approx(2.0 * 3.0**0.5)


def test_a_flat_cell_is_refused() -> None:
    flat = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    with pytest.raises(InvalidArgumentError, match="one plane"):
        vector_of_lattice(flat)
