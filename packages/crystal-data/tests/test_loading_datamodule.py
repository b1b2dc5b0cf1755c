"""The data module, alone and in a Trainer."""

import pickle
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from crystal_data.crystal import Crystal
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.io.record import Record
from crystal_data.loading import BatchNeeds, BatchRequest, CrystalDataModule, CrystalDataset
from crystal_data.loading.needs import NeedsBatches
from crystal_data.sources.base import CrystalSource
from crystal_data.splits import EvaluationSet
from crystal_data.splits.folds import KFoldSplit
from crystal_data.splits.split import RatioSplit
from crystal_data.store import InvalidSourceError, MissingColumnError
from crystal_data.transforms.base import Transform

SPEC = GraphSpec(max_neighbors=4)


def crystal(number: int) -> Crystal:
    """No two of different numbers match."""
    rng = np.random.default_rng(number)
    num_atoms = 2 + number % 5
    grid = np.indices((2, 2, 2)).reshape(3, -1).T[:num_atoms] / 2
    return Crystal(
        np.diag([5.0, 5.5, 6.0]) + rng.uniform(-0.8, 0.8, size=(3, 3)),
        grid + rng.uniform(-0.08, 0.08, size=(num_atoms, 3)),
        rng.integers(3, 80, size=num_atoms),
    )


class Crystals(CrystalSource):
    """Forty crystals: 24 train, 8 val, 8 test; every fifth has no label."""

    def __init__(
        self,
        name: str = "forty",
        first: int = 0,
        split: str | None = None,
        bad: int = 0,
        labels: bool = True,
    ) -> None:
        self._name, self.first, self.split = name, first, split
        self.bad, self.labels = bad, labels

    @property
    def name(self) -> str:
        return self._name

    @property
    def units(self) -> dict[str, str]:
        return {"energy": "eV/atom"}

    def fingerprint(self) -> str:
        return repr(vars(self))

    def records(self) -> Iterator[Record]:
        for number in range(self.first, self.first + 40):
            properties = {"energy": float("nan") if number % 5 == 0 else float(number)}
            split = ("train", "val", "train", "test", "train")[number % 5]
            structure = "data_x" if number < self.bad else crystal(number)
            yield Record(
                f"{self._name}-{number}",
                structure,
                "cif" if isinstance(structure, str) else "crystal",
                properties if self.labels else {},
                split if self.split is None else self.split,
            )


class Tiny(LightningModule, NeedsBatches):
    """Counts what it is shown."""

    needs = BatchNeeds(("energy",), SPEC)

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": [], "test": [], "predict": []}

    def _look(self, batch: CrystalBatch, stage: str) -> torch.Tensor:
        assert batch.lattice.dtype == batch.edge_length.dtype == torch.float32
        assert batch.edge_index.shape[1] > 0
        self.seen[stage].append(batch.sample_id.tolist())
        return self.layer(batch.num_atoms[:, None].float()).mean()

    def training_step(self, batch, batch_idx):
        assert not batch.targets["energy"].isnan().any()
        return self._look(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._look(batch, "val")

    def test_step(self, batch, batch_idx):
        self._look(batch, "test")

    def predict_step(self, batch, batch_idx):
        return self._look(batch, "predict")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, **options):
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{"max_epochs": 2, **options},
    )


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6 asks newer versions of torch in an old way.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def module(tmp_path, source=None, **options):
    return CrystalDataModule(
        source or Crystals(), **{"batch_size": 6, "cache": tmp_path / "cache", **options}
    )


def ready(data, stage="fit", targets=("energy",), graph_spec=SPEC):
    data.configure(targets, graph_spec)
    data.prepare_data()
    data.setup(stage)
    return data


def test_every_stage_in_a_trainer(tmp_path, capfd):
    data, model = module(tmp_path), Tiny()
    run = trainer(tmp_path / "run")
    run.fit(model, data)
    assert "16 train, 8 val, 8 test; 8 without any label left out" in capfd.readouterr().err
    run.validate(model, data, verbose=False)
    run.test(model, data, verbose=False)
    run.predict(model, data)
    first, second = np.split(np.array(flat(model.seen["train"])), 2)
    assert (
        sorted(first)
        == sorted(second)
        == data.store.rows_of("train")[data.store.rows_of("train") % 5 != 0].tolist()
    )
    assert first.tolist() != second.tolist()
    assert flat(model.seen["test"]) == data.store.rows_of("test").tolist()
    assert flat(model.seen["predict"]) == list(range(40))
    assert not (tmp_path / "run" / "rejected.csv").exists()


def test_train_targets_and_info(tmp_path):
    data = ready(module(tmp_path))
    labels = data.train_targets()["energy"]
    assert len(labels) == 16
    assert not np.isnan(labels).any()
    info = data.data_info()
    assert info["rows"] == {"train": 16, "val": 8, "test": 8}
    assert (info["source"], info["unlabelled"], info["excluded"]) == ("forty", 8, 0)
    assert info["fingerprint"] == Crystals().fingerprint()
    assert data.metadata == info
    assert data.fields == {"energy": Field("energy", "eV/atom")}
    assert data.sample_ids("test").tolist() == data.store.rows_of("test").tolist()
    assert data.sample_ids("predict").tolist() == list(range(40))


def test_missing_target_names_those_alike(tmp_path):
    with pytest.raises(MissingColumnError, match="forty has no column 'enery'; did you mean"):
        ready(module(tmp_path), targets=("enery",))


def test_prediction_needs_no_labels(tmp_path):
    data = module(tmp_path, Crystals(labels=False), predict_split="test")
    model = Tiny()
    trainer(tmp_path).predict(model, data)
    assert flat(model.seen["predict"]) == data.store.rows_of("test").tolist()


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_split_may_lack_val_and_test(tmp_path):
    data, model = module(tmp_path, Crystals(split="train")), Tiny()
    run = trainer(tmp_path)
    run.fit(model, data)
    assert model.seen["val"] == []
    with pytest.raises(ValueError, match="forty has no test rows"):
        run.test(model, data, verbose=False)


def test_source_without_split_is_divided_and_said(tmp_path, capfd):
    data = ready(module(tmp_path, Crystals(split="")))
    assert "no split of its own, so 80:10:10 was drawn with seed 0" in capfd.readouterr().err
    assert [len(data.sample_ids(name)) for name in ("train", "val", "test")] == [26, 3, 3]


@pytest.mark.parametrize("split", [RatioSplit(val=0.25, test=0.25), KFoldSplit(num_folds=4)])
def test_drawn_splits_divide_labelled_rows_alone(tmp_path, split):
    data = ready(module(tmp_path, split=split))
    rows = np.concatenate([data.sample_ids(name) for name in ("train", "val", "test")])
    assert len(rows) == 32
    assert (rows % 5 != 0).all()
    assert data.data_info()["unlabelled"] == 8


def test_smaller_training_sets_are_parts_of_larger_ones(tmp_path):
    chosen = [
        set(ready(module(tmp_path, train_size=size)).sample_ids("train").tolist())
        for size in (4, 9, None)
    ]
    assert [len(rows) for rows in chosen] == [4, 9, 16]
    assert chosen[0] < chosen[1] < chosen[2]
    with pytest.raises(ValueError, match="train_size is 17, of 16 rows"):
        ready(module(tmp_path, train_size=17))


def test_a_training_size_of_the_labelled_rows_of_a_drawn_split(tmp_path):
    split = RatioSplit(val=0.25, test=0.25, group="reduced_formula")
    chosen = [ready(module(tmp_path, split=split, train_size=size)) for size in (5, 12, None)]
    train = [set(data.sample_ids("train").tolist()) for data in chosen]
    assert train[0] < train[1] < train[2]
    assert all(row % 5 for row in train[2])
    assert chosen[0].sample_ids("test").tolist() == chosen[2].sample_ids("test").tolist()


def test_bad_input_is_refused_or_left_out(tmp_path):
    with pytest.raises(InvalidSourceError, match="2 of 40 structures cannot be used"):
        ready(module(tmp_path, Crystals(bad=2)))
    data = ready(module(tmp_path, Crystals(bad=2), on_invalid="skip"))
    assert data.data_info()["rejected"] == 2


def test_exclusion_by_identifier_and_structure(tmp_path, capfd):
    # Crystals 20 to 59 under other names: the even half of train stands among them.
    other = Crystals("other", first=20)
    data = module(tmp_path, exclude=[EvaluationSet(other, "train")])
    model = Tiny()
    trainer(tmp_path / "run", max_epochs=1).fit(model, data)
    kept = data.sample_ids("train")
    assert kept.tolist() == [r for r in range(20) if r % 5 in (2, 4)]
    lines = (tmp_path / "run" / "excluded.csv").read_text().splitlines()
    assert lines[0] == "id,matched_id,evaluation_set,how"
    assert "forty-22,other-22,other,structure" in lines
    info = data.data_info()
    assert info["excluded"] == len(lines) - 1 == 8
    assert len(info["exclusion_sha256"]) == 64
    assert "8 left out of train, see excluded.csv" in capfd.readouterr().err
    # The table is of this training alone.
    trainer(tmp_path / "run", max_epochs=1).fit(Tiny(), module(tmp_path))
    assert not (tmp_path / "run" / "excluded.csv").exists()


def test_exclusion_is_recalled_and_depends_on_its_sets(tmp_path, monkeypatch):
    other = Crystals("other", first=20)
    assert ready(module(tmp_path, exclude=[other])).data_info()["excluded"] == 8
    ids = tmp_path / "ids.txt"
    ids.write_text("forty-2\nforty-3\n")
    assert ready(module(tmp_path, exclude=[str(ids)])).data_info()["excluded"] == 1
    monkeypatch.setattr("crystal_data.splits.exclusion.find_leaks", None)
    assert ready(module(tmp_path, exclude=[other])).data_info()["excluded"] == 8
    with pytest.raises(TypeError):
        ready(module(tmp_path, exclude=[other, "test"]))


class Shake(Transform):
    """Moves atoms by draws of the sample."""

    moves_atoms = True

    def __call__(self, batch, rng):
        out = batch.without_edges()
        out.frac_coords = batch.frac_coords + 0.02 * rng.normal("shake", 3, batch.num_atoms)
        return out


def test_transforms_change_training_batches_alone_and_renew_edges(tmp_path):
    data = ready(module(tmp_path, transforms=[Shake()]))
    stored = data.store
    batch = next(iter(data.train_dataloader()))
    plain = stored.batch(batch.sample_id.numpy())
    assert not torch.allclose(batch.frac_coords, plain.frac_coords.float())
    moved = batch.frac_coords[batch.edge_index[0]] - batch.frac_coords[batch.edge_index[1]]
    vectors = torch.einsum(
        "ei,eij->ej",
        moved + batch.edge_shift,
        batch.lattice[batch.batch[batch.edge_index[1]]],
    )
    torch.testing.assert_close(vectors.norm(dim=1), batch.edge_length, atol=1e-4, rtol=0)
    calm = next(iter(data.val_dataloader()))
    same = stored.batch(calm.sample_id.numpy()).frac_coords.float()
    assert torch.equal(calm.frac_coords, same)


def test_draws_depend_on_seed_epoch_and_row_alone(tmp_path):
    data = ready(module(tmp_path))
    dataset = CrystalDataset(data.store, transforms=[Shake()], seed=3)

    def positions(rows, epoch=0):
        batch = dataset[BatchRequest(np.array(rows), epoch)]
        return dict(zip(rows, batch.frac_coords.split(batch.num_atoms.tolist()), strict=True))

    together, apart = positions([1, 2, 3]), positions([3, 9])
    assert torch.equal(together[3], apart[3])
    assert not torch.equal(together[3], positions([3], epoch=1)[3])


def test_fillers_lose_their_labels(tmp_path):
    data = ready(module(tmp_path))
    dataset = CrystalDataset(data.store, targets=("energy",))
    assert dataset[BatchRequest(np.array([1]), 0, is_filler=True)].targets["energy"].isnan().all()
    assert dataset[BatchRequest(np.array([1]), 0)].targets["energy"].tolist() == [1.0]


def test_bounds_limit_atoms_and_edges(tmp_path):
    data = ready(module(tmp_path, batch_size=None, max_atoms=12, max_edges=60))
    batches = list(data.train_dataloader())
    assert max(batch.num_nodes for batch in batches) <= 12
    assert max(batch.edge_index.shape[1] for batch in batches) <= 60
    assert sorted(flat(b.sample_id.tolist() for b in batches)) == data.sample_ids("train").tolist()
    with pytest.raises(ValueError, match="max_edges bounds batches with edges"):
        ready(module(tmp_path, max_edges=60), graph_spec=None).train_dataloader()
    with pytest.raises(ValueError, match="give batch_size"):
        module(tmp_path, batch_size=None)


def test_workers_give_the_same_batches(tmp_path):
    plain = ready(module(tmp_path, transforms=[Shake()]))
    spawned = ready(module(tmp_path, transforms=[Shake()], num_workers=1))
    loader = spawned.train_dataloader()
    assert loader.persistent_workers
    # What a spawned worker receives is a path, not the columns.
    assert len(pickle.dumps(spawned.val_dataloader().dataset)) < 1000
    for one, other in zip(plain.train_dataloader(), loader, strict=True):
        assert one.identifier == other.identifier
        for key in ("frac_coords", "edge_index", "edge_length", "sample_id"):
            assert torch.equal(getattr(one, key), getattr(other, key))
        assert torch.equal(one.targets["energy"], other.targets["energy"])


def test_lightnings_own_sampler_is_refused(tmp_path):
    class TwoRanks:
        world_size, global_rank, is_global_zero = 2, 1, True
        default_root_dir = tmp_path
        lightning_module = Tiny()

        class _accelerator_connector:  # as Lightning calls it
            use_distributed_sampler = True

    data = ready(module(tmp_path))
    data.trainer = TwoRanks()
    with pytest.raises(ValueError, match="use_distributed_sampler=False"):
        data.train_dataloader()
    TwoRanks._accelerator_connector.use_distributed_sampler = False
    mine = flat(batch.sample_id.tolist() for batch in data.train_dataloader())
    assert len(mine) == 8
