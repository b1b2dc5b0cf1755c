"""The contract passes a right model, and fails each that is wrong on purpose where it is wrong."""

import pytest
import torch
from torch import nn

from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.testing import (
    MOVES,
    GraphModelContract,
    InvariantModelContract,
    briefly_trained,
)

SPEC = GraphSpec(cutoff=5.0, max_neighbors=None)


def per_crystal(values, batch, reduce="mean"):
    out = values.new_zeros(batch.num_crystals)
    return out.scatter_reduce_(0, batch.batch, values, reduce, include_self=False)


class Right(nn.Module):
    """Mean over atoms of a smooth function of distances and elements."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.atoms = nn.Parameter(torch.randn(119, generator=generator))
        self.bonds = nn.Parameter(torch.randn(119, generator=generator))

    def atomic(self, batch):
        neighbor, centre = batch.edge_index
        weight = torch.exp(-((batch.edge_length / 2) ** 2))
        terms = weight * self.bonds[batch.atomic_numbers[neighbor]]
        field = terms.new_zeros(batch.num_nodes).index_add_(0, centre, terms)
        return self.atoms[batch.atomic_numbers] + torch.tanh(field)

    def forward(self, batch):
        return per_crystal(self.atomic(batch), batch)


class RightContract(InvariantModelContract):
    model = Right

    def __init__(self):
        self._module = self.model()

    def module(self):
        return self._module

    def predict(self, crystals):
        batch = CrystalBatch.from_crystals(crystals).with_edges(SPEC).float32()
        return self._module(batch)

    def loss(self, batch):
        error = self._module(batch.with_edges(SPEC).float32()) - batch.targets["target"]
        labelled = ~error.isnan()
        return error.where(labelled, 0.0).square().sum() / labelled.sum().clamp(min=1)


def failures(contract):
    """Names of the checks that fail; moves by their own names."""
    checks = {move.__name__: (lambda move=move: contract.test_unchanged_by(move)) for move in MOVES}
    for name in dir(contract):
        if name.startswith("test_") and name != "test_unchanged_by":
            checks[name] = getattr(contract, name)
    failed = set()
    for name, check in checks.items():
        try:
            check()
        except (pytest.fail.Exception, AssertionError, RuntimeError):
            failed.add(name)
    return failed


class TestRight(InvariantModelContract):
    """As a model package uses it."""

    contract = RightContract()
    predict = contract.predict
    loss = contract.loss
    module = contract.module


class GraphModel(Right):
    graph_spec = SPEC

    def forward(self, batch):
        return torch.stack([super().forward(batch), batch.lattice[:, 0, 0]], dim=1)


class TestGraphModel(GraphModelContract):
    """Its first output, that is; the second depends on the orientation."""

    model = briefly_trained(GraphModel())


def test_a_right_model_passes():
    assert failures(RightContract()) == set()


class StoredImages(Right):
    def forward(self, batch):
        cart = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattice[batch.batch])
        return per_crystal(cart.norm(dim=1), batch)


class Orientation(Right):
    def forward(self, batch):
        return super().forward(batch) + 0.1 * batch.lattice[:, 0, 0]


class AtomOrder(Right):
    def forward(self, batch):
        first = batch.num_atoms.cumsum(0) - batch.num_atoms
        place = torch.arange(batch.num_nodes) - first[batch.batch]
        return per_crystal(self.atomic(batch) * (1 + 0.1 * place), batch)


class FirstAtom(Right):
    def forward(self, batch):
        return self.atomic(batch)[batch.num_atoms.cumsum(0) - batch.num_atoms]


class SumOverAtoms(Right):
    def forward(self, batch):
        return per_crystal(self.atomic(batch), batch, "sum")


class MeanWithPadding(Right):
    def forward(self, batch):
        return per_crystal(self.atomic(batch), batch, "sum") / batch.num_atoms.max()


class HomeCellOnly(Right):
    def forward(self, batch):
        cart = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattice[batch.batch])
        near = torch.exp(-torch.cdist(cart, cart)) * (batch.batch[:, None] == batch.batch)
        return per_crystal(near.sum(1), batch)


class Handed(Right):
    def forward(self, batch):
        return super().forward(batch) + 0.1 * torch.linalg.det(batch.lattice).sign()


class CellVolume(Right):
    def forward(self, batch):
        return super().forward(batch) + 1e-3 * torch.linalg.det(batch.lattice).abs()


class CellLengths(Right):
    def forward(self, batch):
        return super().forward(batch) + 0.1 * batch.lattice.norm(dim=2).sum(1).log()


class BatchMean(Right):
    def forward(self, batch):
        out = super().forward(batch)
        return out - 0.1 * out.mean()


class Constant(Right):
    def forward(self, batch):
        return 0.0 * super().forward(batch)


class NoEdgesForbidden(Right):
    def forward(self, batch):
        return super().forward(batch) + 0.0 * batch.edge_length.max()


class MeanOverEdges(Right):
    """0 / 0 for a crystal without edges."""

    def forward(self, batch):
        crystal = batch.batch[batch.edge_index[1]]
        total = torch.zeros(batch.num_crystals).index_add_(0, crystal, batch.edge_length.float())
        return super().forward(batch) + total / torch.bincount(crystal, minlength=len(total))


class OutputColumn(Right):
    def forward(self, batch):
        return super().forward(batch)[:, None]


class LosesDigits(Right):
    def forward(self, batch):
        return (super().forward(batch) + 1e5) - 1e5


WRONG = {
    StoredImages: {"shift_origin", "change_images"},
    Orientation: {"rotate", "reflect", "change_cell"},
    AtomOrder: {"permute_atoms", "double_cell"},
    FirstAtom: {"permute_atoms"},
    SumOverAtoms: {"double_cell"},
    MeanWithPadding: {"test_alone_equals_batched"},
    HomeCellOnly: {"change_images", "double_cell"},
    Handed: {"reflect"},
    CellVolume: {"double_cell"},
    CellLengths: {"change_cell", "double_cell"},
    BatchMean: {"test_alone_equals_batched", "test_one_atom_per_cell", "test_isolated_atoms"},
    Constant: {"test_tells_crystals_apart"},
    NoEdgesForbidden: {"test_isolated_atoms"},
    MeanOverEdges: {"test_isolated_atoms"},
    OutputColumn: {"test_tells_crystals_apart", "rotate"},
    LosesDigits: {"test_float64_agrees"},
}


@pytest.mark.parametrize(
    ("model", "expected"), WRONG.items(), ids=[model.__name__ for model in WRONG]
)
def test_a_wrong_model_fails_where_it_is_wrong(model, expected):
    class Contract(RightContract):
        pass

    Contract.model = model
    failed = failures(Contract())
    assert expected <= failed
    if model in (FirstAtom, Handed, SumOverAtoms, Constant):
        assert failed == expected  # and nowhere else


class NaNReachesTheLoss(RightContract):
    def loss(self, batch):
        return (
            (self._module(batch.with_edges(SPEC).float32()) - batch.targets["target"])
            .square()
            .mean()
        )


class NaNReachesTheGradient(RightContract):
    def loss(self, batch):
        error = self._module(batch.with_edges(SPEC).float32()) - batch.targets["target"]
        return torch.where(error.isnan(), 0.0, error.abs().sqrt()).sum()


class MissingCountAsZero(RightContract):
    def loss(self, batch):
        label = batch.targets["target"].nan_to_num(0.0)
        return (self._module(batch.with_edges(SPEC).float32()) - label).square().mean()


class DividesByRows(RightContract):
    def loss(self, batch):
        error = self._module(batch.with_edges(SPEC).float32()) - batch.targets["target"]
        return error.where(~error.isnan(), 0.0).square().mean()


class NoLabelsDivideByZero(RightContract):
    def loss(self, batch):
        error = self._module(batch.with_edges(SPEC).float32()) - batch.targets["target"]
        return error[~error.isnan()].square().mean()


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (NaNReachesTheLoss, {"test_missing_labels", "test_no_labels_at_all"}),
        (NaNReachesTheGradient, {"test_missing_labels", "test_no_labels_at_all"}),
        (MissingCountAsZero, {"test_missing_labels"}),
        (DividesByRows, {"test_missing_labels"}),
        (NoLabelsDivideByZero, {"test_no_labels_at_all"}),
    ],
)
def test_a_wrong_loss_fails(contract, expected):
    assert failures(contract()) == expected


def with_tolerances(model, **tolerances):
    class Contract(RightContract):
        pass

    Contract.model, Contract.tolerances = model, tolerances
    return Contract()


class SlightlyOriented(Right):
    def forward(self, batch):
        return super().forward(batch) + 1e-3 * torch.tanh(batch.lattice[:, 0, 0])


def test_a_declared_tolerance_is_respected():
    moves = {"rotate": 4e-3, "reflect": 4e-3, "change_cell": 4e-3}
    assert {"rotate", "reflect"} <= failures(with_tolerances(SlightlyOriented))
    assert failures(with_tolerances(SlightlyOriented, **moves)) & set(moves) == set()


@pytest.mark.parametrize(
    "tolerances",
    [{"rotate": 50.0}, {"rotate": 0.5}, {"rotation": 1e-3}],
    ids=["beyond the spread", "far more than needed", "no such test"],
)
def test_an_absurd_tolerance_fails(tolerances):
    contract = with_tolerances(SlightlyOriented, **tolerances)
    assert "test_declared_tolerances" in failures(contract)


def test_hooks_that_are_not_given_skip():
    class Bare(InvariantModelContract):
        def predict(self, crystals):
            return RightContract().predict(crystals)

    for name in ("test_missing_labels", "test_float64_agrees"):
        with pytest.raises(pytest.skip.Exception):
            getattr(Bare(), name)()
    with pytest.raises(NotImplementedError, match="predict"):
        InvariantModelContract().predict([])
