"""Spectra, vectors and tensors in normalizer, loss, metrics, PropertyModule and Predictor."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from crystal_data import CrystalDataModule
from crystal_data.artifacts import TargetScale
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.inference import Ensemble, Predictor
from crystal_data.inference.calibration import calibrate
from crystal_data.io.record import Record
from crystal_data.sources import CrystalSource
from crystal_data.testing import AtomVectors, CrystalTensors, random_crystals, turned
from crystal_data.training import EMA, PropertyModule, TargetErrors, UncertaintyLoss
from crystal_data.training.masked import masked_loss
from crystal_data.training.target_loss import target_loss
from crystal_data.transforms import TargetNormalizer
from crystal_data.transforms.target_columns import TargetColumns

GAP = Field("gap", "eV")
DOS = Field("dos", "1", shape=(4,))
DIPOLE = Field("dipole", "e·Å", shape=(3,), turns_as="vector")
STRESS = Field("stress", "GPa", shape=(3, 3), turns_as="symmetric_tensor")
FORCES = Field("forces", "eV/Å", "atom", (3,), "vector")
ALL = (GAP, DOS, DIPOLE, STRESS)
NAN = float("nan")
IDENTITY = np.eye(3)


def rotation(seed: int = 0) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q


def values(seed: int, count: int = 30) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    skew = rng.normal(2.0, 1.0, (count, 3, 3))
    return {
        "gap": rng.normal(3, 2, count),
        "dos": rng.normal([0, 1, 2, 50], [1, 0.1, 3, 0.0], (count, 4)),
        "dipole": rng.normal(1.0, 2.0, (count, 3)),
        "stress": (skew + skew.transpose(0, 2, 1)).reshape(count, 9),
    }


def tensors(given: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(column, dtype=torch.float64) for name, column in given.items()}


def turn_all(given: dict[str, np.ndarray], matrix: np.ndarray) -> dict[str, np.ndarray]:
    return {field.name: field.turn(given[field.name], matrix) for field in ALL}


def test_normalization_and_rotation_may_change_places() -> None:
    train, matrix = values(0), rotation()
    columns = TargetColumns(ALL)
    normalizer = TargetNormalizer(ALL).double().fit(train)
    of_turned = TargetNormalizer(ALL).double().fit(turn_all(train, matrix))
    torch.testing.assert_close(normalizer.mean, of_turned.mean)
    torch.testing.assert_close(normalizer.std, of_turned.std)
    scaled = columns.split(normalizer.normalize(columns.join(tensors(values(1)))))
    expected = turn_all({name: column.numpy() for name, column in scaled.items()}, matrix)
    got = columns.split(normalizer.normalize(columns.join(tensors(turn_all(values(1), matrix)))))
    for name, column in got.items():
        np.testing.assert_allclose(column, expected[name], atol=1e-12)
    labels = columns.join(tensors(train))
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(labels)), labels)


def test_scales_are_what_each_kind_of_field_allows() -> None:
    train = values(0)
    normalizer = TargetNormalizer(ALL).double().fit(train)
    mean, std = normalizer.mean.numpy(), normalizer.std.numpy()
    places = TargetColumns(ALL).places
    assert (mean[0], std[0]) == (train["gap"].mean(), train["gap"].std())
    np.testing.assert_allclose(mean[places[1]], train["dos"].mean(0))
    deviation = np.sqrt(((train["dos"] - train["dos"].mean(0)) ** 2).mean())
    np.testing.assert_allclose(std[places[1]], deviation)
    assert (mean[places[2]] == 0).all()
    np.testing.assert_allclose(std[places[2]], np.sqrt((train["dipole"] ** 2).mean()))
    trace = np.trace(train["stress"].mean(0).reshape(3, 3))
    np.testing.assert_allclose(mean[places[3]], trace / 3 * np.eye(3).ravel())
    scaled = normalizer.normalize(TargetColumns(ALL).join(tensors(train)))
    for place in places:
        assert scaled[:, place].square().mean().item() == pytest.approx(1.0)


def test_gaps_count_by_component_of_spectra_and_as_a_whole_where_values_turn() -> None:
    train = values(0)
    kept = {name: column[1:].copy() for name, column in train.items()}
    for name in ("dipole", "stress"):
        train[name][0, 1:] = np.nan  # 0, 0 is still a number
    train["gap"][0] = np.nan
    train["dos"][0, 1:] = np.nan
    got, expected = (TargetNormalizer(ALL).fit(given) for given in (train, kept))
    for field, place in zip(ALL, TargetColumns(ALL).places, strict=True):
        if field is not DOS:
            assert torch.equal(got.mean[place], expected.mean[place])
            assert torch.equal(got.std[place], expected.std[place])
    assert got.mean[1] == pytest.approx(train["dos"][:, 0].mean())
    assert torch.equal(got.mean[2:5], expected.mean[2:5])
    joined = TargetColumns(ALL).join(tensors(train))
    assert joined[0].isnan().tolist() == [True, False, True, True, True, *[True] * 12]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("weights", [None, {"stress": 3.0}, "uncertainty"])
def test_the_loss_does_not_see_how_the_crystals_lie(loss, weights) -> None:
    if weights == "uncertainty" and loss == "huber":
        return
    columns = TargetColumns(ALL)
    ours = target_loss([field.name for field in ALL], loss, weights).double()
    ours.take_columns(columns)
    if isinstance(ours, UncertaintyLoss):
        ours.log_scale.data = torch.tensor([0.1, -0.4, 0.3, 0.8]).double()
    prediction, label = values(1), values(2)
    label["dipole"][3, 0] = label["gap"][1] = label["dos"][4, 2] = np.nan
    matrix = rotation(3)

    def value(given, truth):
        joined = columns.join(tensors(given)).requires_grad_()
        found = ours(joined, columns.join(tensors(truth)))
        found.backward()
        assert torch.isfinite(joined.grad).all()
        return found.detach()

    plain = value(prediction, label)
    torch.testing.assert_close(value(turn_all(prediction, matrix), turn_all(label, matrix)), plain)
    # A right prediction has a finite gradient too, where a length is 0.
    value({name: np.nan_to_num(column) for name, column in label.items()}, label)


def test_each_target_counts_as_one_label_whatever_its_width() -> None:
    columns = TargetColumns(ALL)
    ours = target_loss([field.name for field in ALL], "mse", {"dos": 2.0})
    ours.take_columns(columns)
    prediction, label = (tensors(values(seed)) for seed in (1, 2))
    label["gap"][:10] = NAN
    squares = {
        name: (prediction[name] - label[name]).square().reshape(30, -1).mean(1) for name in label
    }
    weight = {"gap": 1.0, "dos": 2.0, "dipole": 1.0, "stress": 1.0}
    total = sum(weight[name] * one.nansum() for name, one in squares.items())
    count = sum(weight[name] * int((~one.isnan()).sum()) for name, one in squares.items())
    got = ours(columns.join(prediction), columns.join(label))
    torch.testing.assert_close(got, total / count)


def test_numbers_have_the_loss_that_they_had() -> None:
    prediction, label = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0))
    label[3, 1] = NAN
    ours = target_loss(["a", "b"], "huber", {"b": 3.0})
    ours.take_columns(TargetColumns([Field("a"), Field("b", per="crystal")]))
    expected = masked_loss(prediction, label, "huber", torch.tensor([1.0, 3.0]))
    assert torch.equal(ours(prediction, label), expected)


def test_errors_are_those_of_each_kind_of_field() -> None:
    columns = TargetColumns(ALL)
    prediction, label = tensors(values(1)), tensors(values(2))
    label["gap"][:10] = NAN
    label["stress"][5] = NAN
    label["dos"][6, :2] = NAN
    label["dos"][7] = NAN
    metric = TargetErrors(ALL)
    for rows in (slice(0, 4), slice(4, None)):
        parts = ({name: one[rows] for name, one in given.items()} for given in (prediction, label))
        metric.update(*map(columns.join, parts))
    found = metric.compute()
    difference = {name: prediction[name] - label[name] for name in label}
    expected = {
        "mae/gap": difference["gap"].abs().nanmean(),
        "mae/dos": difference["dos"].abs().nanmean(1).nanmean(),
        "mae/dipole": difference["dipole"].norm(dim=1).mean(),
        "mae/stress": difference["stress"].norm(dim=1).nanmean(),
    }
    known = torch.tensor([row not in (6, 7) for row in range(30)])
    cosines = torch.cosine_similarity(prediction["dos"][known], label["dos"][known], dim=1)
    part = torch.cosine_similarity(prediction["dos"][6, 2:], label["dos"][6, 2:], dim=0)
    expected["cosine/dos"] = (cosines.sum() + part) / 29
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].value, value.float())
    counts = {name: one.num_labels for name, one in found.items()}
    assert counts == dict(zip(expected, (20, 29, 30, 29, 29), strict=True))


def test_targets_of_crystals_and_of_atoms_do_not_mix() -> None:
    with pytest.raises(InvalidArgumentError, match="forces are values of atoms and gap of crys"):
        TargetColumns([GAP, FORCES])


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'dipole' has the shape \(5,\).*3 numbers"):
        TargetColumns([DIPOLE]).join({"dipole": torch.zeros(5)})
    with pytest.raises(InvalidArgumentError, match="no column gap"):
        TargetColumns([GAP]).join({})


class Crystals(CrystalDataModule):
    """Crystals with the targets of a right model, in the orientation that is asked for."""

    def __init__(self, truth, field, matrix=IDENTITY, count=80) -> None:
        crystals = random_crystals(count, seed=7, max_atoms=4)
        batch = CrystalBatch.from_crystals(crystals).with_edges(truth.graph_spec).float32()
        with torch.no_grad():
            column = truth(batch)
        counts = [one.num_atoms if field.per == "atom" else 1 for one in crystals]
        rows = [part.numpy().astype(float) for part in column.split(counts)]
        if field.per == "crystal":
            rows = [part[0] for part in rows]
        records = []
        for number, (one, value) in enumerate(zip(crystals, rows, strict=True)):
            moved = turned(one.replace(properties={field.name: value}), matrix, [field])
            split = ("train", "train", "train", "val", "test")[number % 5]
            properties = dict(moved.properties)
            if number == 5:  # a training row
                properties[field.name] = np.nan
            records.append(
                Record(f"c{number}", moved.replace(properties={}), "crystal", properties, split)
            )

        class Source(CrystalSource):
            name = "toys"
            units = {field.name: field.unit}  # noqa: RUF012
            turns_as = {field.name: field.turns_as} if field.turns else {}

            def fingerprint(self):
                return repr((field, truth, matrix.tolist(), count))

            def records(self):
                yield from records

        super().__init__(Source(), batch_size=24)


def trained(tmp_path, data, model, field, epochs, loss="mse", **options):
    torch.manual_seed(1)
    module = PropertyModule(
        model(), [field.name], loss=loss, optimizer=lambda p: torch.optim.Adam(p, 0.01)
    )
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        max_epochs=epochs,
        **options,
    )
    trainer.fit(module, data)
    return trainer, module


@pytest.mark.parametrize(
    ("model", "field"), [(AtomVectors, FORCES), (CrystalTensors, STRESS)], ids=["atoms", "tensor"]
)
@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_vectors_and_tensors_are_fitted_however_the_crystals_lie(tmp_path, model, field, loss):
    torch.manual_seed(0)
    truth = model()
    results = []
    for number, matrix in enumerate((IDENTITY, rotation(5))):
        data = Crystals(truth, field, matrix)
        trainer, module = trained(tmp_path / str(number), data, model, field, 12, loss)
        assert module.fields == (field,)
        assert module.units == {field.name: field.unit}
        results.append({name: float(v) for name, v in trainer.callback_metrics.items()})
    labels = data.train_targets()[field.name]
    of_zero = np.linalg.norm(labels[~np.isnan(labels[:, 0])], axis=1).mean()
    assert results[0][f"val/mae/{field.name}"] < 0.5 * of_zero
    for name, value in results[0].items():
        assert results[1][name] == pytest.approx(value, rel=5e-3), name


@pytest.mark.parametrize(
    ("model", "field"), [(AtomVectors, FORCES), (CrystalTensors, STRESS)], ids=["atoms", "tensor"]
)
def test_a_predictor_gives_arrays_of_the_fields_shape(tmp_path, model, field):
    torch.manual_seed(0)
    data = Crystals(model(), field)
    trainer, module = trained(tmp_path, data, model, field, 1)
    rows = trainer.predict(module, data)
    predictor = Predictor(module.model, module.scales())
    crystals = [data.store.crystal(row) for row in range(len(data.store))]
    got = predictor.predict(crystals, batch_size=7)[field.name]
    count = sum(one.num_atoms for one in crystals) if field.per == "atom" else len(crystals)
    assert got.shape == (count, *field.shape)
    parts = [part for row in rows for part in row["prediction"][field.name]]
    flat = np.concatenate([np.atleast_2d(part.numpy()) for part in parts])
    np.testing.assert_allclose(got.reshape(count, -1), flat, atol=1e-5)
    # A scale survives an artifact's JSON.
    [scale] = module.scales().values()
    assert TargetScale.from_dict(field.name, scale.to_dict()) == scale
    assert Ensemble([predictor, predictor]).predict(crystals[:2])[f"{field.name}:std"].max() == 0
    with pytest.raises(InvalidArgumentError, match=f"{field.name} is {field.words}; intervals"):
        calibrate(Ensemble([predictor]), tmp_path)


def test_the_number_of_outputs_that_is_wanted_is_named(tmp_path):
    torch.manual_seed(0)
    data = Crystals(CrystalTensors(), STRESS)
    with pytest.raises(
        InvalidArgumentError,
        match=r"AtomVectors gave \(\d+, 3\) for 16 crystals .* stress; expected \(16, 9\); "
        "set the model's number of outputs to 9",
    ):
        trained(tmp_path, data, AtomVectors, STRESS, 1)


def test_a_checkpoint_and_data_of_another_kind_are_refused(tmp_path):
    torch.manual_seed(0)
    data = Crystals(CrystalTensors(), STRESS)
    trainer, module = trained(tmp_path, data, CrystalTensors, STRESS, 1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    vectors = Crystals(AtomVectors(), Field("stress", "GPa", "atom", (3,), "vector"))
    with pytest.raises(
        InvalidArgumentError,
        match="'stress' is a vector of each atom in the data, where a symmetric tensor",
    ):
        trainer.test(module, vectors, verbose=False)
    fresh = PropertyModule(CrystalTensors(), ["stress"])
    with pytest.raises(
        InvalidArgumentError, match="is a symmetric tensor of each crystal in the checkpoint"
    ):
        trainer.test(fresh, vectors, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    fresh = PropertyModule(CrystalTensors(), ["stress"])
    [ours] = trainer.test(module, data, verbose=False)
    [again] = trainer.test(fresh, data, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert again == ours
    # Crystals without labels: what the targets are, the checkpoint knows.
    unknown = Crystals(CrystalTensors(), Field("other", shape=(3, 3), turns_as="tensor"))
    fresh = PropertyModule(CrystalTensors(), ["stress"])
    rows = trainer.predict(fresh, unknown, ckpt_path=tmp_path / "last.ckpt")
    assert rows[0]["prediction"]["stress"].shape[1] == 9
    assert fresh.scales() == module.scales()


def test_a_moving_average_has_the_columns_too(tmp_path):
    torch.manual_seed(0)
    data = Crystals(CrystalTensors(), STRESS)
    trainer, module = trained(tmp_path, data, CrystalTensors, STRESS, 2, callbacks=[EMA(0.9)])
    assert module.normalizer.mean.shape == (9,)
    assert trainer.test(module, data, verbose=False)[0]["test/mae"] > 0


def test_double_precision_takes_the_batch_apart(tmp_path):
    torch.manual_seed(0)
    data = Crystals(CrystalTensors(), STRESS)
    _, module = trained(tmp_path, data, CrystalTensors, STRESS, 1, precision="64-true")
    assert module.normalizer.mean.dtype == torch.float64
    assert module.fields == (STRESS,)
