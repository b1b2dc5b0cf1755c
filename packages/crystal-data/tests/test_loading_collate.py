"""Batches of tokens and of orbits: a crystal is the same alone as in any batch."""

import pickle

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason, SourceError
from crystal_data.graphs import CrystalBatch, GraphSpec
from crystal_data.io.record import Record
from crystal_data.io.rejected import read_rejected
from crystal_data.loading import (
    BatchRequest,
    CrystalDataModule,
    CrystalDataset,
    OrbitCollator,
    TokenCollator,
)
from crystal_data.loading.needs import BatchNeeds, NeedsBatches
from crystal_data.sources.base import CrystalSource
from crystal_data.store import CrystalStore, OrbitColumn, TokenColumn
from crystal_data.store.orbits import WYCKOFF_LETTERS
from crystal_data.symmetry import SymmetricCrystal, find_orbits, lattice_from_free_parameters
from crystal_data.testing import face_centred, perovskite, random_crystals, rock_salt
from crystal_data.text import CrystalTokenizer
from crystal_data.transforms import MaskAtoms, RandomRotation

CRYSTALS = [rock_salt(), perovskite(), face_centred(), *random_crystals(5, seed=0, max_atoms=6)]
ENERGY = [0.5, -1.0, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    path = tmp_path / "store" if request.param == "disk" else None
    named = [c.replace(identifier=f"c{row}") for row, c in enumerate(CRYSTALS)]
    return CrystalStore.from_crystals(named, path, properties={"energy": ENERGY})


def batch_of(dataset, rows, **options):
    return dataset[BatchRequest(np.array(rows), epoch=0, **options)]


@pytest.mark.parametrize("is_stored", [False, True])
def test_tokens(store, is_stored):
    collator = TokenCollator(TokenColumn(decimals=3))
    if is_stored:
        store.add_column(collator.column, num_workers=0)
    dataset = CrystalDataset(store, targets=("energy",), collator=collator)
    batch = batch_of(dataset, [1, 6, 2])
    assert batch.tokens.dtype == torch.int64
    assert batch.mask.dtype == torch.bool
    assert batch.num_crystals == 3
    assert batch.sample_id.tolist() == [1, 6, 2]
    assert batch.identifier == ["c1", "c6", "c2"]
    assert batch.targets["energy"].tolist()[:2] == [-1.0, 5.0]
    assert batch.targets["energy"].isnan().tolist() == [False, False, True]
    assert not batch.is_filler
    tokenizer = CrystalTokenizer(3)
    for row, tokens, mask in zip([1, 6, 2], batch.tokens, batch.mask, strict=True):
        assert tokens[mask].tolist() == tokenizer.encode(CRYSTALS[row]).tolist()
        assert (tokens[~mask] == tokenizer.PAD).all()
        alone = batch_of(dataset, [row])
        assert alone.mask.all()
        assert torch.equal(alone.tokens[0], tokens[mask])
    assert batch.tokens.shape == (3, max(len(tokenizer.encode(CRYSTALS[r])) for r in (1, 6, 2)))


def test_orbits(store):
    collator = OrbitCollator()
    store.add_column(collator.column, num_workers=0)
    dataset = CrystalDataset(store, targets=("energy",), collator=collator)
    rows = [0, 4, 1, 2]
    batch = batch_of(dataset, rows)
    assert batch.lattice_parameters.dtype == batch.frac_coords.dtype == torch.float32
    assert batch.space_group_number.tolist() == [225, 1, 221, 225]
    assert batch.free_lattice.sum(1).tolist() == [1, 6, 1, 1]
    for place, row in enumerate(rows):
        expected = find_orbits(CRYSTALS[row])
        mask = batch.mask[place]
        assert batch.multiplicity[place][mask].tolist() == expected.multiplicity.tolist()
        assert batch.atomic_numbers[place][mask].tolist() == expected.atomic_numbers.tolist()
        letters = [WYCKOFF_LETTERS[i] for i in batch.wyckoff[place][mask]]
        points, free = batch.frac_coords[place][mask].numpy(), batch.free_axes[place][mask].numpy()
        parameters = [point[axes] for point, axes in zip(points, free, strict=True)]
        lattice = batch.lattice_parameters[place][batch.free_lattice[place]].double().numpy()
        number = int(batch.space_group_number[place])
        again = SymmetricCrystal.from_parameters(
            number,
            lattice_from_free_parameters(number, lattice),
            list(zip(expected.atomic_numbers, letters, parameters, strict=True)),
        )
        assert np.allclose(again.frac_coords, expected.frac_coords, atol=1e-6)
        assert np.allclose(again.lattice, expected.lattice, atol=1e-5)
        for name in ("atomic_numbers", "wyckoff", "multiplicity", "frac_coords", "free_axes"):
            assert not getattr(batch, name)[place][~mask].any(), name
        alone = batch_of(dataset, [row])
        assert torch.equal(alone.frac_coords[0], batch.frac_coords[place][mask])


def test_fillers_have_no_labels_and_batches_move(store):
    for collator in (TokenCollator(), OrbitCollator()):
        dataset = CrystalDataset(store, targets=("energy",), collator=collator)
        batch = batch_of(dataset, [0], is_filler=True)
        assert batch.is_filler
        assert batch.targets["energy"].isnan().all()
        moved = batch.to("meta")
        tensors = [v for v in vars(moved).values() if isinstance(v, torch.Tensor)]
        assert len(tensors) >= 3
        assert all(t.is_meta for t in [*tensors, moved.targets["energy"]])
        assert not batch.sample_id.is_meta
        assert moved.identifier == batch.identifier


def test_transforms_come_first(store):
    """Stored values are those of the stored crystals, so they are not used then."""
    collator = TokenCollator()
    store.add_column(collator.column, num_workers=0)
    rotated = CrystalDataset(store, collator=collator, transforms=[RandomRotation()])
    plain = CrystalDataset(store, collator=collator)
    assert torch.equal(batch_of(rotated, [3, 4]).tokens, batch_of(plain, [3, 4]).tokens)
    masked = CrystalDataset(store, collator=collator, transforms=[MaskAtoms(0.9)])
    with pytest.raises(ValueError, match="an atom is masked"):
        batch_of(masked, [3, 4, 5])


def test_a_crystal_without_a_value_is_refused(store):
    collator = TokenCollator(TokenColumn(max_length=CrystalTokenizer().length(2)))
    for is_stored in (False, True):
        if is_stored:
            store.add_column(collator.column, num_workers=0)
        dataset = CrystalDataset(store, collator=collator)
        with pytest.raises(InvalidCrystalError, match="c1: it has no tokens: too_long, with Tok"):
            batch_of(dataset, [2, 1])


def test_workers_get_the_stored_values(tmp_path, monkeypatch):
    store = CrystalStore.from_crystals(CRYSTALS, tmp_path / "store")
    collator = TokenCollator()
    store.add_column(collator.column, num_workers=0)
    dataset = CrystalDataset(CrystalStore.open(store.path), collator=collator)
    worker = pickle.loads(pickle.dumps(dataset))
    expected = batch_of(dataset, [0, 3]).tokens
    monkeypatch.setattr(TokenColumn, "compute", lambda *_: pytest.fail("computed again"))
    assert torch.equal(batch_of(worker, [0, 3]).tokens, expected)


def test_without_a_collator_batches_are_graphs(store):
    dataset = CrystalDataset(store, graph_spec=GraphSpec(max_neighbors=3))
    batch = batch_of(dataset, [0, 1])
    assert isinstance(batch, CrystalBatch)
    assert batch.edge_index is not None


class Few(CrystalSource):
    """Crystals of which the sixth has twice as many atoms, and one nobody finds symmetry in."""

    name = "few"

    def fingerprint(self):
        return "few"

    def records(self):
        for row, crystal in enumerate([*random_crystals(9, seed=1, max_atoms=3), perovskite()]):
            yield Record(f"r{row}", crystal, "crystal", {"energy": float(row)}, "train")
        yield Record("v", rock_salt(), "crystal", {"energy": 0.0}, "val")


class Reader(LightningModule, NeedsBatches):
    """Asks for tokens and keeps what it was given."""

    def __init__(self, collator):
        super().__init__()
        self.collator = collator
        self.seen = []

    @property
    def needs(self):
        return BatchNeeds(("energy",), collator=self.collator)

    def predict_step(self, batch, batch_idx):
        assert batch.tokens.shape == batch.mask.shape
        self.seen += batch.identifier
        return {}


def data_for(tmp_path, **options):
    return CrystalDataModule(Few(), cache=tmp_path / "cache", batch_size=3, **options)


def trainer_in(tmp_path):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path / "run",
        use_distributed_sampler=False,
    )


def test_a_trainer_leaves_out_what_has_no_value(tmp_path):
    module = Reader(TokenCollator(TokenColumn(max_length=CrystalTokenizer().length(3))))
    trainer_in(tmp_path).predict(module, datamodule=data_for(tmp_path))
    assert sorted(module.seen) == [*(f"r{row}" for row in range(9)), "v"]
    (rejected,) = read_rejected(tmp_path / "run" / "predictions" / "rejected.csv")
    assert (rejected.identifier, rejected.reason) == ("r9", Reason.NO_REPRESENTATION)
    assert rejected.detail.startswith("it has no tokens: too_long")


def test_training_refuses_what_has_no_value_or_leaves_it_out(tmp_path):
    module = Reader(TokenCollator(TokenColumn(max_length=CrystalTokenizer().length(3))))
    message = "few: 1 of 11 crystals cannot be used by this model, such as r9: it has no tokens"
    for on_invalid in (None, "error"):
        data = data_for(tmp_path, on_invalid=on_invalid)
        data._configured = module.needs
        with pytest.raises(SourceError, match=message):
            data.prepare_data()
    data = data_for(tmp_path, on_invalid="skip")
    data._configured = module.needs
    data.prepare_data()
    data.setup()
    assert data.sample_ids("train").tolist() == list(range(9))
    assert data.sample_ids("predict").tolist() == [*range(9), 10]
    batches = list(data.train_dataloader())
    assert sorted(name for batch in batches for name in batch.identifier) == [
        f"r{row}" for row in range(9)
    ]


def test_orbits_of_a_crystal_without_symmetry_are_refused():
    twice = Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([6, 6]), identifier="twice")
    store = CrystalStore.from_crystals([rock_salt(), twice])
    dataset = CrystalDataset(store, collator=OrbitCollator(OrbitColumn(0.02)))
    with pytest.raises(InvalidCrystalError, match="twice: it has no orbits: no_symmetry"):
        batch_of(dataset, [0, 1])
