"""Probabilities of classes: labels, loss, scores, artifacts and tables."""

import csv
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crystal_data import JoinedSource, ThresholdSource, TrainWithin, open_store
from crystal_data.artifacts.artifact import ArtifactError, TargetScale
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.inference import Predictor
from crystal_data.training import ClassScores
from crystal_data.training.cli import run_command
from crystal_data.training.masked import masked_loss
from crystal_data.transforms.normalize import TargetNormalizer

main = partial(run_command, allow_modules=["crystal_toy"])
THRESHOLD = -19.0
TOY = Path(__file__).parent / "toy"


@pytest.fixture
def source(monkeypatch):
    monkeypatch.syspath_prepend(str(TOY))
    from crystal_toy.data import ToySource

    return ToySource()


def test_labels_say_whether_a_number_is_at_most_the_threshold(source, tmp_path):
    labelled = ThresholdSource(source, "gap", THRESHOLD / 100, "stable")
    store = open_store(labelled, cache=tmp_path)
    number, label = store.column("gap"), store.column("stable")
    known = ~np.isnan(number)
    np.testing.assert_array_equal(label[known], number[known] <= THRESHOLD / 100)
    assert np.isnan(label[~known]).all()
    assert 0 < known.sum() < len(known)
    assert 0.2 < label[known].mean() < 0.8
    assert store.field("stable").unit == "1"
    assert ThresholdSource(source, "gap", 0.0, "stable").fingerprint() != labelled.fingerprint()


def test_a_column_that_is_there_and_one_of_texts_are_refused(source):
    with pytest.raises(InvalidArgumentError, match="a column 'gap' already"):
        next(iter(ThresholdSource(source, "energy", 0.0, "gap").records()))
    texts = JoinedSource([source])
    with pytest.raises(InvalidArgumentError, match="'source' is 'toy', not a number"):
        next(iter(ThresholdSource(texts, "source", 0.0, "stable").records()))


def test_rows_beyond_the_range_are_tested_alone(source, tmp_path):
    store = open_store(source, cache=tmp_path)
    split = TrainWithin("gap", low=-0.2, high=-0.18).split(store)
    values = store.column("gap")
    for name in ("train", "val"):
        expected = [row for row in store.rows_of(name) if -0.2 <= values[row] <= -0.18]
        assert split[name].tolist() == expected
        assert 0 < len(expected) < len(store.rows_of(name))
    np.testing.assert_array_equal(split["test"], store.rows_of("test"))
    with pytest.raises(InvalidArgumentError, match="holds no numbers"):
        TrainWithin("identifier", low=1).split(store)


def test_loss_is_the_cross_entropy_of_labels_that_exist():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = (torch.rand(50, 2, generator=rng) < 0.4).double()
    labels[::7, 0] = torch.nan
    loss = masked_loss(logits, labels, "cross_entropy")
    loss.backward()
    known = ~labels.isnan()
    probability = logits.detach().sigmoid()[known]
    truth = labels[known]
    expected = -(truth * probability.log() + (1 - truth) * (1 - probability).log()).mean()
    torch.testing.assert_close(loss.detach(), expected)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[known], (probability - truth) / known.sum())
    assert (logits.grad[~known] == 0).all()


def area(probability, truth):
    """Share of pairs in right order; ties count one half."""
    difference = probability[truth][:, None] - probability[~truth]
    return (np.sign(difference).mean() + 1) / 2


def test_scores_equal_their_definitions():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 2)) < (0.3, 0.8)
    probability = np.round(np.clip(0.35 * truth + rng.random((400, 2)) * 0.7, 0, 1), 3)
    label = truth.astype(float)
    label[::9, 1] = np.nan
    scores = ClassScores(["a", "b"])
    for part in np.array_split(np.arange(400), 7):
        scores.update(torch.tensor(probability[part]), torch.tensor(label[part]))
    measured = scores.compute()
    for place, name in enumerate("ab"):
        known = ~np.isnan(label[:, place])
        p, t = probability[known, place], truth[known, place]
        said = p > 0.5
        right, wrong = (said & t).sum(), (said & ~t).sum()
        missed, rest = (~said & t).sum(), (~said & ~t).sum()
        expected = {
            "accuracy": (right + rest) / known.sum(),
            "f1": 2 * right / (2 * right + wrong + missed),
            "mcc": np.corrcoef(said, t)[0, 1],
            "auroc": area(p, t),
            "cross_entropy": -np.log(np.maximum(np.where(t, p, 1 - p), np.exp(-100))).mean(),
        }
        for kind, value in expected.items():
            found = measured[f"{kind}/{name}"]
            assert found.num_labels == known.sum()
            assert float(found.value) == pytest.approx(value, abs=2e-4 if kind == "auroc" else 1e-5)
    scores.reset()
    scores.update(torch.tensor(probability), torch.full((400, 2), torch.nan))
    assert torch.isnan(scores.compute()["accuracy/a"].value)


def test_other_labels_than_two_are_refused():
    normalizer = TargetNormalizer([Field("stable", "1")], are_probabilities=True)
    with pytest.raises(InvalidArgumentError, match="class of a crystal, 0 or 1") as raised:
        normalizer.fit({"stable": np.array([0.0, 0.4, np.nan])})
    assert "ThresholdSource" in raised.value.remedy


def test_a_scale_keeps_that_it_is_a_probability():
    scale = TargetScale(0.0, 1.0, Field("stable", "1"), is_probability=True)
    assert TargetScale.from_dict("stable", json.loads(json.dumps(scale.to_dict()))) == scale
    with pytest.raises(ArtifactError, match="no probability"):
        TargetScale(0.3, 1.0, Field("stable", "1"), is_probability=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained and tested by the command."""
    folder = tmp_path_factory.mktemp("classes")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOY))
        patch.setattr(sys, "argv", ["crystal"])
        patch.chdir(folder)
        yield _trained(folder)


def _trained(folder):
    config = {
        "seed_everything": 0,
        "trainer": {"max_epochs": 15, "accelerator": "cpu"},
        "model": {
            "class_path": "crystal_data.training.ClassificationModule",
            "init_args": {
                "targets": "stable",
                "model": {"class_path": "crystal_toy.model.ElementSum"},
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}},
            },
        },
        "data": {
            "class_path": "crystal_data.CrystalDataModule",
            "init_args": {
                "source": {
                    "class_path": "crystal_data.ThresholdSource",
                    "init_args": {
                        "source": {"class_path": "crystal_toy.data.ToySource"},
                        "column": "energy",
                        "threshold": THRESHOLD,
                        "name": "stable",
                    },
                },
                "batch_size": 16,
                "cache": str(folder / "cache"),
            },
        },
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ["--config", str(file), "--trainer.default_root_dir", str(folder / "run")]
    for command in ("fit", "test"):
        assert main([command, *arguments]) == 0
    return folder / "run"


def rows(run: Path, file: str):
    with (run / file).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_a_training_logs_all_scores_and_learns(run):
    found = {
        r["metric"]: r["value"] for r in json.loads((run / "results.json").read_text())["results"]
    }
    for kind in ("accuracy", "f1", "auroc", "mcc", "cross_entropy"):
        assert f"test/{kind}/stable" in found
    assert found["test/auroc/stable"] > 0.7
    assert found["test/cross_entropy"] == found["test/cross_entropy/stable"] < 0.65
    assert float(rows(run, "metrics.csv")[-1]["val/cross_entropy"]) < 0.65


def test_tables_and_artifacts_give_probabilities(run):
    from crystal_toy.data import SPLITS, crystal

    table = rows(run, "predictions/test.csv")
    probability = np.array([float(row["stable [1]"]) for row in table])
    label = np.array([float(row["stable:label [1]"]) for row in table])
    assert set(label) == {0.0, 1.0}
    assert (probability > 0).all()
    assert (probability < 1).all()
    found = {
        r["metric"]: r["value"] for r in json.loads((run / "results.json").read_text())["results"]
    }
    assert ((probability > 0.5) == label).mean() == pytest.approx(found["test/accuracy/stable"])
    card = (run / "artifact/README.md").read_text(encoding="utf-8")
    assert "stable is the probability of a class" in card
    predictor = Predictor.from_pretrained(run / "artifact", allow_package="crystal_toy")
    first = crystal(SPLITS["test"][0])
    again = predictor.predict([first])["stable"]
    of_table = {row["id"]: float(row["stable [1]"]) for row in table}
    assert again[0] == pytest.approx(of_table[first.identifier], abs=1e-5)
