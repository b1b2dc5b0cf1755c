import math

import pytest
import torch

from crystal_data.layers import GaussianBasis, cosine_cutoff, mean_over_atoms


def test_gaussian_basis_golden():
    values = GaussianBasis()(torch.tensor([2.0]))[0]
    assert len(values) == GaussianBasis().num_features == 41
    assert values.argmax() == 10
    assert float(values[10]) == pytest.approx(1, abs=1e-6)
    assert values[[9, 11]].tolist() == pytest.approx([math.exp(-1)] * 2, abs=1e-5)
    assert GaussianBasis()(torch.tensor([30.0])).abs().max() < 1e-30


def test_gaussian_basis_is_the_formula_without_subnormal_numbers():
    distance = torch.linspace(0.0, 12.0, 2001)
    basis = GaussianBasis()
    values = basis(distance)
    exact = ((distance[:, None] - basis.centers).double().square() / -(0.2**2)).exp()
    torch.testing.assert_close(values.double(), exact, atol=1e-6, rtol=0)
    assert values.min() >= torch.finfo(torch.float32).tiny


def test_gaussian_basis_of_another_width():
    basis = GaussianBasis(-1.0, 1.0, 0.5, width=0.25)
    values = basis(torch.tensor([-1.0]))[0].tolist()
    assert values[:3] == pytest.approx([1.0, math.exp(-4), math.exp(-16)], abs=1e-6)


def test_mean_over_atoms():
    atoms = torch.arange(12.0).reshape(6, 2)
    batch = torch.tensor([0, 0, 0, 1, 2, 2])
    means = mean_over_atoms(atoms, batch, torch.tensor([3, 1, 2]))
    expected = torch.stack([atoms[:3].mean(0), atoms[3], atoms[4:].mean(0)])
    torch.testing.assert_close(means, expected)


def test_gaussians_may_be_wider_than_their_distance():
    basis = GaussianBasis(0.0, 5.0, 5.0 / 99, width=0.5)
    assert basis.num_features == 100
    distance = torch.tensor([0.3, 2.0, 4.9])
    centers = torch.linspace(0.0, 5.0, 100)
    expected = torch.exp(-(((distance[:, None] - centers) / 0.5) ** 2))
    torch.testing.assert_close(basis(distance), expected, atol=1e-6, rtol=1e-5)


def test_cutoff_is_smooth():
    distance = torch.tensor([0.0, 3.0, 6.0, 7.0], dtype=torch.float64, requires_grad=True)
    values = cosine_cutoff(distance, 6.0)
    torch.testing.assert_close(values.detach(), torch.tensor([1.0, 0.5, 0.0, 0.0]).double())
    slope = torch.autograd.grad(values.sum(), distance)[0]
    torch.testing.assert_close(slope[[0, 2, 3]], torch.zeros(3).double())
