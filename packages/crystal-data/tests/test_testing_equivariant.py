"""The contract of vectors and tensors passes right models, and fails those wrong on purpose."""

import pytest
import torch
from torch import nn

from crystal_data.graphs import CrystalBatch, GraphSpec, edge_vectors
from crystal_data.testing import MOVES, EquivariantModelContract

SPEC = GraphSpec(cutoff=5.0, max_neighbors=None)


class Vectors(nn.Module):
    """For each atom the sum over neighbors of vectors towards them, weighed by element."""

    per = "atom"

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.bonds = nn.Parameter(torch.randn(119, generator=generator))

    def edges(self, batch):
        vectors = edge_vectors(
            batch.lattice, batch.frac_coords, batch.edge_index, batch.edge_shift, batch.batch
        )
        weights = torch.exp(-((batch.edge_length / 2) ** 2))
        return vectors, weights * self.bonds[batch.atomic_numbers[batch.edge_index[0]]]

    def at_atoms(self, terms, batch):
        out = terms.new_zeros(batch.num_nodes, *terms.shape[1:])
        return out.index_add_(0, batch.edge_index[1], terms)

    def forward(self, batch):
        vectors, weights = self.edges(batch)
        return self.at_atoms(vectors * weights[:, None], batch)


class Tensors(Vectors):
    def forward(self, batch):
        vectors, weights = self.edges(batch)
        return self.at_atoms(vectors[:, :, None] * vectors[:, None] * weights[:, None, None], batch)


class Stress(Tensors):
    """The mean of the atoms' tensors."""

    per = "crystal"

    def forward(self, batch):
        return mean(super().forward(batch), batch)


def mean(values, batch):
    out = values.new_zeros(batch.num_crystals, *values.shape[1:])
    shape = (-1, *[1] * (values.ndim - 1))
    return out.index_add_(0, batch.batch, values) / batch.num_atoms.reshape(shape)


def contract_of(model, **tolerances):
    class Contract(EquivariantModelContract):
        _module = model()
        per = model.per

        def module(self):
            return self._module

        def predict(self, crystals):
            batch = CrystalBatch.from_crystals(crystals).with_edges(SPEC).float32()
            return self._module(batch)

    Contract.tolerances = tolerances
    return Contract()


class TestVectors(EquivariantModelContract):
    """As a model package uses it."""

    contract = contract_of(Vectors)
    predict = contract.predict
    module = contract.module


def failures(contract):
    """Names of the checks that fail; moves by their own names."""
    checks = {move.__name__: (lambda move=move: contract.test_turns_with(move)) for move in MOVES}
    for name in dir(contract):
        if name.startswith("test_") and name != "test_turns_with":
            checks[name] = getattr(contract, name)
    failed = set()
    for name, check in checks.items():
        try:
            check()
        except (pytest.fail.Exception, RuntimeError):
            failed.add(name)
    return failed


@pytest.mark.parametrize("model", [Vectors, Tensors, Stress])
def test_right_models_pass(model):
    assert failures(contract_of(model)) == set()


class FixedAxis(Vectors):
    def forward(self, batch):
        return super().forward(batch) + torch.tensor([0.0, 0.0, 0.1])


class Fractional(Vectors):
    """In fractional coordinates."""

    def forward(self, batch):
        inverse = torch.linalg.inv(batch.lattice)[batch.batch]
        return torch.einsum("ni,nij->nj", super().forward(batch), inverse)


class AlongTheCell(Vectors):
    """Turns with the crystal, but a cell is a choice."""

    def forward(self, batch):
        return super().forward(batch) + 0.1 * batch.lattice[batch.batch, 0]


class Axial(Vectors):
    """A cross product is not mirrored as a vector."""

    def forward(self, batch):
        vectors, weights = self.edges(batch)
        first = self.at_atoms(vectors * weights[:, None], batch)
        second = self.at_atoms(vectors * weights.square()[:, None], batch)
        return super().forward(batch) + torch.linalg.cross(first, second)


class FirstIndexOnly(Tensors):
    """Turns in one of two indices."""

    def forward(self, batch):
        vector = Vectors.forward(self, batch)
        return vector[:, :, None] * torch.tensor([1.0, 2.0, 3.0])


class HomeCell(Vectors):
    """Without periodic images."""

    def forward(self, batch):
        cart = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattice[batch.batch])
        vectors = cart[None] - cart[:, None]
        near = torch.exp(-vectors.norm(dim=2)) * (batch.batch[:, None] == batch.batch)
        return (vectors * near[:, :, None]).sum(1)


class AtomOrder(Vectors):
    def forward(self, batch):
        first = batch.num_atoms.cumsum(0) - batch.num_atoms
        place = torch.arange(batch.num_nodes) - first[batch.batch]
        return super().forward(batch) * (1 + 0.1 * place)[:, None]


class SumOverAtoms(Stress):
    def forward(self, batch):
        return super().forward(batch) * batch.num_atoms[:, None, None]


class BatchMean(Vectors):
    def forward(self, batch):
        out = super().forward(batch)
        return out - 0.1 * out.mean(0)


class Zero(Vectors):
    def forward(self, batch):
        return 0.0 * super().forward(batch)


class Flat(Tensors):
    def forward(self, batch):
        return super().forward(batch).flatten(1)


class NoEdges(Vectors):
    """0 / 0 for an atom without neighbors."""

    def forward(self, batch):
        return super().forward(batch) / self.at_atoms(batch.edge_length, batch)[:, None]


class LosesDigits(Vectors):
    def forward(self, batch):
        return (super().forward(batch) + 1e5) - 1e5


TURNS = {"rotate", "reflect"}
WRONG = {
    FixedAxis: TURNS,
    Fractional: TURNS | {"change_cell", "double_cell"},
    AlongTheCell: {"change_cell", "double_cell"},
    Axial: {"reflect"},
    FirstIndexOnly: TURNS,
    HomeCell: {"change_images", "double_cell"},
    AtomOrder: {"permute_atoms", "double_cell"},
    SumOverAtoms: {"double_cell"},
    BatchMean: {"test_alone_equals_batched"},
    Zero: {"test_tells_crystals_apart"},
    Flat: TURNS | {"test_tells_crystals_apart"},
    NoEdges: {"test_isolated_atoms"},
    LosesDigits: {"test_float64_agrees"},
}


@pytest.mark.parametrize(
    ("model", "expected"), WRONG.items(), ids=[model.__name__ for model in WRONG]
)
def test_a_wrong_model_fails_where_it_is_wrong(model, expected):
    failed = failures(contract_of(model))
    assert expected <= failed
    if model in (FixedAxis, FirstIndexOnly, Axial, SumOverAtoms, Zero, AtomOrder):
        assert failed == expected  # and nowhere else


class SlightlyFixed(Vectors):
    def forward(self, batch):
        return super().forward(batch) + torch.tensor([0.0, 0.0, 1e-3])


def test_a_declared_tolerance_is_respected():
    assert failures(contract_of(SlightlyFixed)) == TURNS
    assert failures(contract_of(SlightlyFixed, rotate=2e-3, reflect=2e-3)) == set()
    absurd = failures(contract_of(SlightlyFixed, rotate=0.5, reflect=2e-3))
    assert absurd == {"test_declared_tolerances"}
