"""Frames along edges against e3nn's Wigner matrices."""

import pytest
import torch
from e3nn.o3 import rand_matrix, spherical_harmonics

from crystal_data.errors import InvalidArgumentError
from crystal_gan.equiformer.coefficients import Coefficients
from crystal_gan.equiformer.frames import EdgeFrames, rotation_to_y

NEAR_POLES = torch.tensor([[1e-9, 1.0, 0.0], [0.0, -1.0, 1e-9], [1e-4, -1.0, 1e-4]])
AXES = torch.cat((torch.eye(3), -torch.eye(3), NEAR_POLES)).double()
POLE = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)


def directions(count=60):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(torch.cat((points, AXES)), dim=1)


def frames(coefficients):
    return EdgeFrames(coefficients).double()


def test_rotations_take_directions_to_the_polar_axis():
    turns = rotation_to_y(directions())
    torch.testing.assert_close((turns @ directions()[:, :, None])[..., 0], POLE.expand(69, 3))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).double().expand(69, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(69).double())


@pytest.mark.parametrize(("degree", "order"), [(1, 1), (2, 2), (4, 2), (6, 2), (8, 8)])
def test_matrices_are_those_of_e3nn(degree, order):
    coefficients = Coefficients(degree, order)
    expected = coefficients.irreps(1).D_from_matrix(rotation_to_y(directions()))
    expected = expected[:, coefficients.places_at_atoms()]
    atol = 1e-5  # couplings are kept in single precision until a model is moved to double
    torch.testing.assert_close(frames(coefficients)(directions()), expected, atol=atol, rtol=0)


def test_order_zero_is_the_harmonics_of_the_direction():
    coefficients = Coefficients(4, 2)
    rows = frames(coefficients)(directions())[:, : coefficients.num_degrees].sum(1)
    expected = spherical_harmonics(list(range(5)), directions(), True, normalization="norm")
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=0)


def test_orders_are_all_that_is_cut():
    whole, cut = Coefficients(4, 4), Coefficients(4, 2)
    places = [whole.along_edges.index(one) for one in cut.along_edges]
    torch.testing.assert_close(
        frames(cut)(directions()), frames(whole)(directions())[:, places], atol=0, rtol=0
    )
    assert cut.num_along_edges == 5 + 2 * 4 + 2 * 3
    assert whole.num_along_edges == whole.num_at_atoms == 25


def test_coefficients_turn_as_their_irreps_say():
    coefficients = Coefficients(3, 3)
    turn = rand_matrix().double()
    irreps = coefficients.irreps(1)
    assert str(irreps) == "1x0e+1x1o+1x2e+1x3o"
    for matrix in (turn, -turn):
        turned = frames(coefficients)(directions() @ matrix.T)
        # The same up to a rotation about the edge, and order 0 does not see that.
        expected = frames(coefficients)(directions()) @ irreps.D_from_matrix(matrix).mT
        level = slice(0, coefficients.num_degrees)
        torch.testing.assert_close(turned[:, level], expected[:, level], atol=1e-5, rtol=0)


def test_gradients_are_finite_and_right_along_the_polar_axis():
    for single in AXES:
        given = single.clone().requires_grad_(True)
        matrices = frames(Coefficients(2, 2))(given[None])
        assert torch.isfinite(torch.autograd.grad(matrices.sum(), given)[0]).all()
    start = AXES[[1, 4, 6]].clone().requires_grad_(True)
    module = frames(Coefficients(2, 1))
    assert torch.autograd.gradcheck(module, start)


@pytest.mark.parametrize(("degree", "order"), [(0, 1), (2, 3), (9, 2), (2, 0)])
def test_what_is_not_supported_is_refused(degree, order):
    with pytest.raises(InvalidArgumentError, match="must be between 1 and"):
        Coefficients(degree, order)
