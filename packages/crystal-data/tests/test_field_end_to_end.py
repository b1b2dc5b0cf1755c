"""File, store, rotation, reflection, other cell, loss, prediction file and back, for each field.

What the project makes of a turned batch is compared with what it makes of a file that NumPy turned.
"""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer

from crystal_data import CrystalDataModule, CrystalStore, FolderSource, TableSource, open_store
from crystal_data.artifacts import TargetScale
from crystal_data.field import Field
from crystal_data.inference import Ensemble, Predictor, predict_source
from crystal_data.inference.prediction_table import NamedEnsemble, prediction_columns
from crystal_data.io import to_extxyz
from crystal_data.io.poscar import to_poscar
from crystal_data.io.read import read_crystals
from crystal_data.run_folder import prediction_columns as columns_of
from crystal_data.sources import PathsSource
from crystal_data.testing import (
    MOVES,
    AtomVectors,
    CrystalTensors,
    EquivariantModelContract,
    batch_for,
    random_crystals,
)
from crystal_data.training import PredictionWriter, PropertyModule
from crystal_data.transforms import RandomCell, RandomReflection, RandomRotation, SampleRandom

sys.path.insert(0, str(Path(__file__).parent / "toy"))
from crystal_toy.model import ElementSum

FORCES = Field("forces", "eV/Å", "atom", (3,), "vector")
STRESS = Field("stress", "eV/Å³", "crystal", (3, 3), "symmetric_tensor")
DIPOLE = Field("dipole", "e·Å", "crystal", (3,), "vector")
BORN = Field("born", "e", "atom", (3, 3), "tensor")
DOS = Field("dos", "1", shape=(6,))
ALL = (FORCES, STRESS, DIPOLE, BORN, DOS)
NAMES = [field.name for field in ALL]


def crystals_with_values(seed: int, count: int = 4):
    rng = np.random.default_rng(seed)
    found = []
    for number, one in enumerate(random_crystals(count, seed=seed, max_atoms=4)):
        skew = rng.normal(size=(3, 3))
        properties = {
            "forces": rng.normal(size=(one.num_atoms, 3)),
            "stress": (skew + skew.T).ravel(),
            "dipole": rng.normal(size=3),
            "born": rng.normal(size=(one.num_atoms, 9)),
            "dos": rng.random(6),
        }
        found.append(one.replace(identifier=f"c{number}", properties=properties))
    return found


def turned_by_hand(crystal, matrix):
    """The crystal of a file that somebody else turned."""
    values = crystal.properties
    stress = matrix @ values["stress"].reshape(3, 3) @ matrix.T
    born = [matrix @ one.reshape(3, 3) @ matrix.T for one in values["born"]]
    return crystal.replace(
        lattice=crystal.lattice @ matrix.T,
        properties={
            **values,
            "forces": np.array([matrix @ force for force in values["forces"]]),
            "stress": stress.ravel(),
            "dipole": matrix @ values["dipole"],
            "born": np.array(born).reshape(-1, 9),
        },
    )


def extxyz(folder: Path, crystals) -> FolderSource:
    path = folder / "run.extxyz"
    path.write_text(to_extxyz(crystals), encoding="utf-8")
    # What forces, stress and dipole are, the format says.
    return FolderSource(path, turns_as={"born": "tensor"}, units={"born": "e", "dos": "1"})


def table(folder: Path, crystals) -> TableSource:
    path = folder / "set.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "poscar", *NAMES])
        for one in crystals:
            cells = [json.dumps(one.properties[name].tolist()) for name in NAMES]
            writer.writerow([one.identifier, to_poscar(one), *cells])
    return TableSource(
        path,
        columns={"forces": "per_atom", "born": "per_atom"},
        units={field.name: field.unit for field in ALL},
        turns_as={field.name: field.turns_as for field in ALL if field.turns},
    )


def batch_of(source, cache: Path):
    store = open_store(source, cache=cache, num_workers=0)
    assert [store.field(name) for name in NAMES] == list(ALL)
    return store.batch(np.arange(len(store)), NAMES)


@pytest.mark.parametrize("write", [extxyz, table])
@pytest.mark.parametrize(
    "transform", [RandomRotation(), RandomReflection(1.0)], ids=["rotation", "reflection"]
)
def test_a_turned_batch_is_that_of_the_turned_file(tmp_path_factory, write, transform) -> None:
    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 2**31), epoch=st.integers(0, 100))
    def check(seed: int, epoch: int) -> None:
        folder = tmp_path_factory.mktemp("turned")
        crystals = crystals_with_values(seed)
        batch = batch_of(write(folder, crystals), folder)
        turned = transform(batch, SampleRandom(seed, epoch, batch.sample_id))
        matrices = torch.linalg.solve(batch.lattice, turned.lattice).mT.numpy()
        by_hand = [turned_by_hand(*pair) for pair in zip(crystals, matrices, strict=True)]
        expected = batch_of(write(folder, by_hand), folder / "other")
        torch.testing.assert_close(turned.lattice, expected.lattice)
        torch.testing.assert_close(turned.frac_coords, expected.frac_coords)
        for name in NAMES:
            torch.testing.assert_close(
                turned.targets[name], expected.targets[name], atol=2e-6, rtol=2e-6
            )
        assert not torch.equal(turned.targets["forces"], batch.targets["forces"])

    check()


def test_another_cell_leaves_targets_as_they_are(tmp_path) -> None:
    batch = batch_of(extxyz(tmp_path, crystals_with_values(0)), tmp_path)
    moved = RandomCell()(batch, SampleRandom(0, 0, batch.sample_id))
    assert not torch.equal(moved.lattice, batch.lattice)
    for name in NAMES:
        assert torch.equal(moved.targets[name], batch.targets[name])


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_moves_take_the_properties_along(tmp_path, move) -> None:
    """Values of a model stay its values, whatever the description of the crystal."""
    torch.manual_seed(0)
    vectors, tensors = AtomVectors().double(), CrystalTensors().double()
    fields = [FORCES, STRESS]

    def labelled(crystal):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            batch = batch_for(vectors, [crystal])
            with torch.no_grad():
                values = {"forces": vectors(batch).numpy(), "stress": tensors(batch)[0].numpy()}
        finally:
            torch.set_default_dtype(default)
        return crystal.replace(properties={**values, "name": "a", "gap": 1.0})

    rng = np.random.default_rng(1)
    for crystal in random_crystals(4, seed=2, max_atoms=4):
        moved = move(labelled(crystal), rng, fields)
        expected = labelled(moved)
        assert moved.properties.keys() == expected.properties.keys()
        for field in fields:
            np.testing.assert_allclose(
                moved.properties[field.name], expected.properties[field.name], atol=1e-9
            )


class TestAtomVectors(EquivariantModelContract):
    _module = AtomVectors()

    def module(self):
        return self._module

    def predict(self, crystals):
        return self._module(batch_for(self._module, crystals))


class TestCrystalTensors(EquivariantModelContract):
    _module = CrystalTensors()
    per = "crystal"

    def module(self):
        return self._module

    def predict(self, crystals):
        output = self._module(batch_for(self._module, crystals))
        return output.reshape(-1, 3, 3)


class Spectrum(ElementSum):
    def __init__(self) -> None:
        super().__init__(8, 6)


def run(folder: Path, source, field: Field, model, loss: str):
    """Trains, tests, and writes the prediction file."""
    torch.manual_seed(3)
    module = PropertyModule(
        model(), [field.name], loss=loss, optimizer=lambda p: torch.optim.SGD(p, 0.05)
    )
    data = CrystalDataModule(source, batch_size=8, cache=folder / "cache")
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        callbacks=[PredictionWriter()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        max_epochs=3,
    )
    trainer.fit(module, data)
    fitted = {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer.test(module, data, verbose=False)
    found = fitted | {name: float(value) for name, value in trainer.callback_metrics.items()}
    return module, data, found


@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize("write", [extxyz, table])
@pytest.mark.parametrize(
    ("field", "model"),
    [(FORCES, AtomVectors), (STRESS, CrystalTensors), (DOS, Spectrum)],
    ids=["atom-vector", "tensor", "spectrum"],
)
def test_from_a_file_to_a_prediction_file_and_back(tmp_path, field, model, write, loss) -> None:
    crystals = crystals_with_values(5, count=30)
    matrix = -np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
    results, tables = [], []
    of_labels, of_predictions = columns_of(field.name, field.unit)
    for name, given_crystals in (
        ("as-is", crystals),
        ("turned", [turned_by_hand(one, matrix) for one in crystals]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        module, data, found = run(folder, write(folder, given_crystals), field, model, loss)
        results.append(found)
        tables.append(read_back(folder, given_crystals, field))

        # What is read back are the numbers that were predicted and that stood in the file.
        rows = data.sample_ids("test")
        with torch.no_grad():
            batch = data.store.batch(rows, [field.name])
            if model.graph_spec is not None:
                batch = batch.with_edges(model.graph_spec)
            batch = batch.float32()
            predicted = module(batch).numpy()
        assert tables[-1].num_atoms.tolist() == data.store.num_atoms[rows].tolist()
        assert tables[-1].field(of_predictions).is_like(field)
        read = np.asarray(tables[-1].column(of_predictions), dtype=np.float32)
        np.testing.assert_array_equal(read, predicted.reshape(read.shape))
        labels = np.asarray(tables[-1].column(of_labels), dtype=np.float32)
        np.testing.assert_array_equal(labels, batch.targets[field.name].numpy())
    for name, value in results[0].items():
        assert results[1][name] == pytest.approx(value, rel=2e-3), name
    # Predictions for the turned file are the turned predictions.
    for column in (of_predictions, of_labels):
        before, after = (np.asarray(one.column(column)) for one in tables)
        np.testing.assert_allclose(field.turn(before, matrix), after, atol=1e-4)


def read_back(folder: Path, crystals, field: Field) -> CrystalStore:
    """The prediction file as the table of a folder of structures."""
    place = folder / "again"
    place.mkdir()
    for one in crystals:
        (place / f"{one.identifier}.vasp").write_text(to_poscar(one), encoding="utf-8")
    shutil.copy(folder / "predictions" / "test.csv", place / "id_prop.csv")
    columns = columns_of(field.name, field.unit)
    source = FolderSource(
        place,
        columns=dict.fromkeys(columns, "per_atom") if field.per == "atom" else None,
        turns_as=dict.fromkeys(columns, field.turns_as) if field.turns else None,
    )
    return open_store(source, cache=folder / "cache", num_workers=0)


@pytest.mark.parametrize(
    ("field", "model"), [(FORCES, AtomVectors), (STRESS, CrystalTensors)], ids=["atom", "tensor"]
)
def test_what_predict_writes_has_one_cell_for_each_crystal(tmp_path, field, model) -> None:
    torch.manual_seed(0)
    mean = [0.0] * field.width
    crystals = crystals_with_values(2)
    extxyz(tmp_path, crystals)
    members = [Predictor(model(), {field.name: TargetScale(mean, 2.0, field)}) for _ in range(2)]
    found = predict_source(members, PathsSource([tmp_path / "run.extxyz"]))
    columns = prediction_columns(found, [NamedEnsemble(("a", "b"), Ensemble(members))])
    assert list(columns) == [
        "id",
        f"{field.name} [{field.unit}]",
        f"{field.name}:std [{field.unit}]",
        "note",
    ]
    read = read_crystals(tmp_path / "run.extxyz").crystals
    expected = Ensemble(members).predict(read)
    for name, unit_name in zip(expected, list(columns)[1:3], strict=True):
        cells = [json.loads(cell) for cell in columns[unit_name]]
        assert len(cells) == len(crystals)
        flat = np.concatenate([np.atleast_2d(cell) for cell in cells])
        np.testing.assert_allclose(flat, expected[name].reshape(flat.shape), rtol=1e-5, atol=1e-7)
