"""The contract of forces and stresses passes a right model, and fails those wrong on purpose."""

import pytest
import torch

from crystal_data.graphs import CrystalBatch, GraphSpec, edge_vectors
from crystal_data.testing import GradientContract

CUTOFF = 5.0
SPEC = GraphSpec(cutoff=CUTOFF, max_neighbors=None)


def pair(length):
    """Energy of a pair and its slope; both vanish at the cutoff. eV, eV/Å."""
    decay, edge = torch.exp(-length / 2), CUTOFF - length
    return decay * edge**3, decay * (-(edge**3) / 2 - 3 * edge**2)


class PairPotential(GradientContract):
    """Forces and stress written out by hand."""

    def edges(self, crystals):
        batch = CrystalBatch.from_crystals(crystals).with_edges(SPEC)
        vectors = edge_vectors(
            batch.lattice, batch.frac_coords, batch.edge_index, batch.edge_shift, batch.batch
        )
        # Each pair is there twice, and elements differ.
        neighbor, centre = batch.edge_index
        numbers = batch.atomic_numbers.double()
        return batch, vectors, (numbers[neighbor] * numbers[centre]).sqrt() / 200

    def energy(self, crystals):
        batch, vectors, weights = self.edges(crystals)
        terms = weights * pair(vectors.norm(dim=1))[0]
        crystal = batch.batch[batch.edge_index[1]]
        return torch.zeros(len(crystals)).double().index_add_(0, crystal, terms)

    def slopes(self, vectors, weights):
        length = vectors.norm(dim=1)
        return vectors * (weights * pair(length)[1] / length)[:, None]

    def forces(self, crystals):
        batch, vectors, weights = self.edges(crystals)
        slopes = self.slopes(vectors, weights)
        return torch.zeros_like(batch.frac_coords).index_add_(0, batch.edge_index[1], 2 * slopes)

    def stress(self, crystals):
        batch, vectors, weights = self.edges(crystals)
        virial = self.slopes(vectors, weights)[:, :, None] * vectors[:, None]
        crystal = batch.batch[batch.edge_index[1]]
        total = torch.zeros_like(batch.lattice).index_add_(0, crystal, virial)
        return total / torch.linalg.det(batch.lattice).abs()[:, None, None]


class TestPairPotential(PairPotential):
    """As a model package uses it."""


class TestByAutograd(PairPotential):
    """The same by differentiating the energy."""

    def differentiated(self, crystals):
        batch = CrystalBatch.from_crystals(crystals).with_edges(SPEC)
        coords = batch.frac_coords.clone().requires_grad_()
        strain = torch.zeros_like(batch.lattice).requires_grad_()
        lattice = batch.lattice @ (torch.eye(3).double() + strain)
        vectors = edge_vectors(lattice, coords, batch.edge_index, batch.edge_shift, batch.batch)
        numbers = batch.atomic_numbers.double()
        weights = numbers[batch.edge_index].prod(0).sqrt() / 200
        energy = (weights * pair(vectors.norm(dim=1))[0]).sum()
        return batch, torch.autograd.grad(energy, (coords, strain))

    def forces(self, crystals):
        batch, (slope, _) = self.differentiated(crystals)
        inverse = torch.linalg.inv(batch.lattice)[batch.batch]
        return -torch.einsum("ni,nji->nj", slope, inverse)

    def stress(self, crystals):
        batch, (_, slope) = self.differentiated(crystals)
        return slope / torch.linalg.det(batch.lattice).abs()[:, None, None]


def failures(contract):
    failed = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except pytest.fail.Exception:
                failed.add(name)
    return failed


class OtherSign(PairPotential):
    def forces(self, crystals):
        return -super().forces(crystals)


class HalfForces(PairPotential):
    """Counts each pair once."""

    def forces(self, crystals):
        return super().forces(crystals) / 2


class OnlyOneSide(PairPotential):
    """Forces that do not add up."""

    def forces(self, crystals):
        forces = super().forces(crystals)
        return forces + torch.tensor([0.0, 0.0, 1e-4]).double()


class TotalStress(PairPotential):
    """Not by volume."""

    def stress(self, crystals):
        volume = torch.tensor([crystal.volume for crystal in crystals])
        return super().stress(crystals) * volume[:, None, None]


class SkewStress(PairPotential):
    def stress(self, crystals):
        skew = torch.tensor([[0.0, 1e-3, 0.0], [-1e-3, 0.0, 0.0], [0.0, 0.0, 0.0]])
        return super().stress(crystals) + skew


class WithoutShear(PairPotential):
    def stress(self, crystals):
        return super().stress(crystals) * torch.eye(3)


class SinglePrecision(PairPotential):
    def energy(self, crystals):
        return super().energy(crystals).float()


FORCES, STRESS = "test_forces_are_the_gradient", "test_stress_is_the_gradient"
WRONG = {
    OtherSign: {FORCES},
    HalfForces: {FORCES},
    OnlyOneSide: {FORCES, "test_forces_add_up_to_nothing"},
    TotalStress: {STRESS},
    SkewStress: {"test_stress_is_symmetric"},
    WithoutShear: {STRESS},
    SinglePrecision: {FORCES, STRESS},
}


@pytest.mark.parametrize(
    ("contract", "expected"), WRONG.items(), ids=[contract.__name__ for contract in WRONG]
)
def test_a_wrong_gradient_fails_where_it_is_wrong(contract, expected):
    assert failures(contract()) == expected


def test_what_is_not_given_is_skipped():
    class EnergyOnly(GradientContract):
        energy = PairPotential().energy

    for name in ("test_forces_are_the_gradient", "test_stress_is_symmetric"):
        with pytest.raises(pytest.skip.Exception):
            getattr(EnergyOnly(), name)()
    with pytest.raises(NotImplementedError, match="gives no energy"):
        GradientContract().energy([])


def test_a_declared_tolerance_is_respected():
    class Declared(OnlyOneSide):
        tolerances = {"forces": 1e-2}  # noqa: RUF012

    assert failures(Declared()) == set()
