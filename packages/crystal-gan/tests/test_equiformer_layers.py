"""Layers of the equivariant network, each against what it is defined by."""

import pytest
import torch
from e3nn.o3 import FullyConnectedTensorProduct, Irreps, rand_matrix, spherical_harmonics

from crystal_gan.equiformer.activation import SphereSiLU, SphereSwiGLU
from crystal_gan.equiformer.coefficients import Coefficients
from crystal_gan.equiformer.frames import EdgeFrames
from crystal_gan.equiformer.linear import DegreeLinear, OrderLinear
from crystal_gan.equiformer.norm import MergedNorm
from crystal_gan.equiformer.radial import envelope
from crystal_gan.equiformer.sphere import SphereGrid

SMALL = Coefficients(2, 2)
CUT = Coefficients(3, 2)


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def turned(values, matrix, coefficients):
    """Coefficients ``[n, num, channels]`` of the turned crystal."""
    turn = coefficients.irreps(1).D_from_matrix(matrix)
    return turn @ values


@pytest.mark.parametrize("along_edges", [True, False])
@pytest.mark.parametrize("coefficients", [SMALL, CUT, Coefficients(6, 2)], ids=str)
def test_a_grid_gives_coefficients_back(coefficients, along_edges):
    grid = SphereGrid(coefficients, along_edges=along_edges)
    count = coefficients.num_along_edges if along_edges else coefficients.num_at_atoms
    values = torch.randn(4, count, 3)
    torch.testing.assert_close(grid.back(grid(values)), values)
    # Unit variance stays.
    assert grid(torch.randn(2000, count, 1)).std() == pytest.approx(1.0, abs=0.1)


def test_products_on_the_grid_are_those_of_e3nn():
    grid = SphereGrid(SMALL, along_edges=False)
    one, other = torch.randn(2, 5, SMALL.num_at_atoms, 1)
    product = grid.back(grid(one) * grid(other))[..., 0]
    # The product of two functions is known at any point.
    fine = SphereGrid(Coefficients(6, 6), along_edges=False)
    padding = torch.zeros(5, 49 - SMALL.num_at_atoms, 1)
    scale = (49 / SMALL.num_at_atoms) ** 0.5
    exact = [fine(torch.cat((values, padding), 1)) * scale for values in (one, other)]
    expected = fine.back(exact[0] * exact[1])[:, : SMALL.num_at_atoms, 0] / scale
    torch.testing.assert_close(product, expected)


@pytest.mark.parametrize("kind", [SphereSwiGLU, SphereSiLU])
def test_activations_turn_with_the_crystal(kind):
    layer = kind(SMALL, 4, along_edges=False)
    values = torch.randn(6, SMALL.num_at_atoms, 4 * layer.channels_taken)
    scalars = torch.randn(6, 4 * layer.scalars_taken)
    for matrix in (rand_matrix(), -rand_matrix()):
        got = layer(turned(values, matrix, SMALL), scalars)
        error = (got - turned(layer(values, scalars), matrix, SMALL)).abs().max()
        assert error < 1e-12 if kind is SphereSwiGLU else 1e-12 < error < 0.05


def test_order_linear_is_a_tensor_product():
    """Up to its weights it is e3nn's product with harmonics of the direction: same span."""
    direction = torch.nn.functional.normalize(torch.randn(300, 3), dim=1)
    frames = EdgeFrames(SMALL)(direction)
    atoms = torch.randn(300, SMALL.num_at_atoms, 1)
    layer = OrderLinear(SMALL, 1, 1)
    layer.level.bias.data.zero_()
    ours = (frames.mT @ layer(frames @ atoms)[0])[..., 0]
    irreps = SMALL.irreps(1)
    harmonics = spherical_harmonics(list(range(5)), direction, True)
    product = FullyConnectedTensorProduct(
        irreps, Irreps.spherical_harmonics(4), irreps, internal_weights=False
    )
    num_weights = sum(p.numel() for p in layer.parameters()) - layer.level.bias.numel()
    assert product.weight_numel == num_weights
    basis = torch.stack([product(atoms[..., 0], harmonics, w) for w in torch.eye(num_weights)])
    flat = basis.flatten(1).T
    weights = torch.linalg.lstsq(flat, ours.flatten()).solution
    torch.testing.assert_close(flat @ weights, ours.flatten(), atol=1e-6, rtol=0)


def test_a_handed_layer_turns_but_does_not_mirror():
    layer = OrderLinear(CUT, 3, 2, num_scalars=4, handed=True)
    plain = OrderLinear(CUT, 3, 2, num_scalars=4)
    direction = torch.nn.functional.normalize(torch.randn(20, 3), dim=1)
    atoms = torch.randn(20, CUT.num_at_atoms, 3)

    def apply(layer, direction, atoms):
        frames = EdgeFrames(CUT)(direction)
        values, scalars = layer(frames @ atoms)
        return frames.mT @ values, scalars

    for matrix, both in ((rand_matrix(), True), (-rand_matrix(), False)):
        for one in (layer, plain):
            got, numbers = apply(one, direction @ matrix.T, turned(atoms, matrix, CUT))
            values, expected = apply(one, direction, atoms)
            same = torch.allclose(got, turned(values, matrix, CUT), atol=1e-5)
            assert same is (both or one is plain)
            torch.testing.assert_close(numbers, expected, atol=1e-5, rtol=0)


def test_degree_linear_is_a_matrix_for_each_degree():
    layer = DegreeLinear(SMALL, 3, 2)
    torch.nn.init.normal_(layer.bias)
    atoms = torch.randn(4, 9, 3)
    got = layer(atoms)
    expected = torch.einsum("nsi,sio->nso", atoms, layer.weight[SMALL.degree_at_atoms()])
    expected[:, 0] += layer.bias
    torch.testing.assert_close(got, expected)


def test_norm_gives_one_size_and_keeps_proportions():
    norm = MergedNorm(CUT, 5)
    atoms = 100 * torch.randn(6, CUT.num_at_atoms, 5)
    out = norm(atoms)
    means = [out[:, d**2 : (d + 1) ** 2].square().mean(1) for d in range(4)]
    torch.testing.assert_close(torch.stack(means, 1).mean((1, 2)), torch.ones(6))
    ratio = out[:, 1:] / atoms[:, 1:]
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    torch.testing.assert_close(out[:, 0].mean(1), torch.zeros(6))
    assert torch.isfinite(norm(torch.zeros(1, CUT.num_at_atoms, 5))).all()


def test_envelope_is_smooth_at_the_cutoff():
    length = torch.tensor([0.0, 2.5, 5.0 - 1e-5, 5.0, 6.0], requires_grad=True)
    values = envelope(length, 5.0)
    torch.testing.assert_close(values.detach(), torch.tensor([1.0, 99 / 128, 0.0, 0.0, 0.0]))
    (slope,) = torch.autograd.grad(values.sum(), length, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), length)
    for derivative in (slope.detach(), bend):
        torch.testing.assert_close(derivative[2:], torch.zeros(3), atol=1e-3, rtol=0)
