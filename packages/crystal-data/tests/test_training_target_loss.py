import json
import math
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from crystal_data.inference import Predictor
from crystal_data.training import UncertaintyLoss
from crystal_data.training.cli import run_command
from crystal_data.training.masked import masked_loss
from crystal_data.training.target_loss import WeightedLoss, target_loss

main = partial(run_command, allow_modules=["crystal_toy"])
TARGETS = ["lattice_energy_per_atom", "formation_energy_per_atom"]
RESIDUALS = torch.tensor([[0.1, 4.0], [-0.3, 1.0], [0.2, torch.nan], [torch.nan, -7.0]])


def test_given_weights_are_factors():
    prediction, label = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    given = target_loss(["a", "b"], "huber", {"b": 3.0})
    assert isinstance(given, WeightedLoss)
    expected = masked_loss(prediction, label, "huber", torch.tensor([1.0, 3.0]))
    assert torch.equal(given(prediction, label), expected)
    assert not given.state_dict()


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_it_is_the_likelihood_of_a_distribution(loss):
    """Up to the constant that both leave out."""
    uncertain = UncertaintyLoss(2, loss)
    uncertain.log_scale.data = torch.tensor([-1.0, 0.7])
    scale = uncertain.log_scale.detach().exp().expand_as(RESIDUALS)
    kind, constant = {
        "mae": (torch.distributions.Laplace, math.log(2)),
        "mse": (torch.distributions.Normal, math.log(2 * math.pi) / 2),
    }[loss]
    known = ~RESIDUALS.isnan()
    density = kind(0.0, scale[known]).log_prob(RESIDUALS[known])
    expected = -density.mean() - constant
    torch.testing.assert_close(uncertain(torch.zeros(4, 2), RESIDUALS), expected)


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_gradients_are_the_numeric_ones(loss):
    uncertain = UncertaintyLoss(2, loss).double()
    prediction = torch.full((4, 2), 0.03, dtype=torch.float64, requires_grad=True)

    def value(prediction, log_scale):
        given = {"log_scale": log_scale}
        return torch.func.functional_call(uncertain, given, (prediction, RESIDUALS.double()))

    log_scale = torch.tensor([-0.4, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (prediction, log_scale))


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_scales_become_those_of_the_errors(loss):
    """For fixed residuals the best scale is known; labels that are missing do not count."""
    uncertain = UncertaintyLoss(2, loss)
    optimizer = torch.optim.Adam(uncertain.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        uncertain(torch.zeros(4, 2), RESIDUALS).backward()
        optimizer.step()
    best = RESIDUALS.abs().nanmean(0) if loss == "mae" else RESIDUALS.square().nanmean(0).sqrt()
    torch.testing.assert_close(uncertain.log_scale.detach().exp(), best, atol=0, rtol=1e-3)


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_missing_labels_reach_no_gradient(loss):
    uncertain = UncertaintyLoss(2, loss)
    prediction = torch.zeros(4, 2, requires_grad=True)
    uncertain(prediction, RESIDUALS).backward()
    assert torch.isfinite(prediction.grad).all()
    assert (prediction.grad[RESIDUALS.isnan()] == 0).all()

    alone = UncertaintyLoss(2, loss)
    value = alone(torch.zeros(3, 2, requires_grad=True), torch.full((3, 2), torch.nan))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(alone.log_scale.grad, torch.zeros(2))


def test_huber_has_no_learned_weights():
    with pytest.raises(ValueError, match="wants loss: mae or mse, not huber"):
        UncertaintyLoss(2, "huber")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))
    monkeypatch.setattr(sys, "argv", ["crystal"])
    monkeypatch.chdir(tmp_path)
    model = {"class_path": "crystal_toy.model.ElementSum", "init_args": {"num_outputs": 2}}
    optimizer = {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": 0.03, "weight_decay": 10.0},
    }
    content = {
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "default_root_dir": "run"},
        "model": {
            "class_path": "crystal_data.training.PropertyModule",
            "init_args": {
                "model": model,
                "targets": TARGETS,
                "loss": "mae",
                "target_weights": "uncertainty",
                "optimizer": optimizer,
                "lr_scheduler": {"class_path": "crystal_data.training.OneCycle"},
            },
        },
        "data": {
            "class_path": "crystal_data.CrystalDataModule",
            "init_args": {
                "source": {"class_path": "crystal_data.BuiltinSource"},
                "batch_size": 16,
                "train_size": 64,
            },
        },
    }
    Path("toy.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return ["--config", "toy.yaml"]


def test_they_are_optimised_checkpointed_and_reported(config):
    assert main(["fit", *config]) == 0
    content = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    log_scale = content["state_dict"]["target_loss.log_scale"]
    assert (log_scale != 0).all()
    model, scales = content["optimizer_states"][0]["param_groups"]
    assert (model["weight_decay"], scales["weight_decay"]) == (10.0, 0.0)
    assert scales["initial_lr"] == pytest.approx(10 * model["initial_lr"])
    header = Path("run/metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {f"train/scale/{name}" for name in TARGETS} <= set(header)
    # The artifact is the model alone, and predicts without them.
    predictor = Predictor.from_pretrained("run/artifact", allow_package="crystal_toy")
    assert predictor.targets == tuple(TARGETS)
    assert main(["test", *config]) == 0
    assert "test/mae" in json.dumps(json.loads(Path("run/results.json").read_text()))


def test_other_words_are_refused(config, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *config, "--model.target_weights", "uncertain"])
    error = capsys.readouterr().err
    assert "target_weights" in error
    assert "uncertainty" in error
