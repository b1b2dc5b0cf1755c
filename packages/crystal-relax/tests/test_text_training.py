"""Training of text models: the loss, what is logged, and a training that learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data import Crystal, CrystalBatch, open_store
from crystal_data.errors import InvalidArgumentError
from crystal_data.testing import random_crystals, write_checkpoint
from crystal_data.trajectories import DISPLACEMENT, STRAIN, Change, RelaxationSource, changed
from crystal_relax import TextRelaxationModule, TextRelaxer
from crystal_relax.__main__ import main
from crystal_relax.text.changes import TextChange, numbers_of
from crystal_relax.text.tokens import ChangeTokenizer, Kind
from crystal_relax.training.text_module import Written, _root_mean

SMALL = {"width": 32, "num_layers": 1, "num_heads": 2, "feedforward": 32, "decimals": 2}


def module(output: str = "text", distances: bool = True, **weights: float) -> TextRelaxationModule:
    torch.manual_seed(0)
    model = TextRelaxer(**SMALL, output=output, distances=distances)  # type: ignore[arg-type]
    return TextRelaxationModule(model, **weights)


def labelled(crystals: list[Crystal], changes: list[Change]) -> CrystalBatch:
    batch = CrystalBatch.from_crystals(crystals)
    batch.targets = {
        STRAIN.name: torch.tensor(np.array([one.strain.ravel() for one in changes])),
        DISPLACEMENT.name: torch.tensor(np.concatenate([one.displacement for one in changes])),
    }
    batch.targets = {name: values.float() for name, values in batch.targets.items()}
    return batch.float32()


def some_relaxations(count: int) -> tuple[list[Crystal], list[Change]]:
    rng = np.random.default_rng(0)
    crystals = random_crystals(count, seed=2, max_atoms=6)
    changes = []
    for crystal in crystals:
        strain = rng.normal(scale=0.02, size=(3, 3))
        moved = rng.normal(scale=0.1, size=(crystal.num_atoms, 3))
        changes.append(Change((strain + strain.T) / 2, moved - moved.mean(axis=0)))
    return crystals, changes


def test_errors_of_numbers_are_those_of_the_geometry() -> None:
    """Against numbers that are computed here, of a prediction that nothing changes."""
    crystals, changes = some_relaxations(3)
    batch = labelled(crystals, changes)
    learner = module("numbers")  # heads of zeros
    found = learner.loss(batch, *learner.true(batch))
    ends = [changed(*pair) for pair in zip(crystals, changes, strict=True)]
    pairs = list(zip(crystals, ends, strict=True))
    lengths = np.array([end.lengths - start.lengths for start, end in pairs])
    angles = np.array([end.angles - start.angles for start, end in pairs])
    moved = np.concatenate([one.displacement for one in changes])
    expected = (
        np.sqrt((lengths**2).mean())
        + 0.1 * np.sqrt((angles**2).mean())
        + np.sqrt((moved**2).sum(axis=1).mean())
    )
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    gradient = learner.relaxer.cell.bias.grad
    assert gradient is not None
    assert bool((gradient != 0).all())


def test_certain_scores_have_no_loss_and_numbers_in_their_order() -> None:
    crystals, changes = some_relaxations(3)
    tokenizer = ChangeTokenizer(3)
    numbers = [numbers_of(*pair) for pair in zip(crystals, changes, strict=True)]
    written = Written.of(tokenizer, numbers, crystals)
    scores = 60.0 * torch.nn.functional.one_hot(written.tokens, len(tokenizer.VOCABULARY)).float()
    cell, sites = written.expected(scores, torch.tensor([one.num_atoms for one in crystals]))
    np.testing.assert_allclose(cell, [one.cell for one in numbers], atol=6e-4)
    np.testing.assert_allclose(
        sites, np.concatenate([one.frac_coords for one in numbers]), atol=6e-4
    )
    assert bool(((written.tokens == ChangeTokenizer.PAD) == (written.kinds == Kind.PAD)).all())


def test_a_change_beyond_the_digits_is_cut() -> None:
    tokenizer = ChangeTokenizer(2)
    large = TextChange(np.array([50.0, 0, 0, 0, 0, -500.0]), np.full((1, 3), -3.0))
    cut = tokenizer.cut(large)
    assert cut.cell.tolist() == [9.99, 0, 0, 0, 0, -99.99]
    np.testing.assert_array_equal(tokenizer.decode(tokenizer.encode(cut, [1]), [1]).cell, cut.cell)


def test_crystals_without_labels_do_not_count() -> None:
    crystals, changes = some_relaxations(3)
    batch, few = labelled(crystals, changes), labelled(crystals[:2], changes[:2])
    batch.targets[STRAIN.name][2] = torch.nan
    for learner in (module(), module("numbers"), module(number_weight=0.0)):
        learner.eval()
        losses = [learner.loss(one, *learner.true(one)) for one in (batch, few)]
        torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize(("distances", "steps", "left"), [(False, 40, 0.8), (True, 80, 0.5)])
@pytest.mark.parametrize("output", ["text", "numbers"])
def test_it_learns(output: str, distances: bool, steps: int, left: float, folder: Path) -> None:
    """Strained metals become the ideal ones."""
    store = open_store(RelaxationSource(folder), on_invalid="error")
    learner = module(output, distances)
    batch = store.batch(store.rows_of("train"), learner.targets).float32()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.005)
    true = learner.true(batch)
    losses = []
    for _ in range(steps):
        loss = learner.loss(batch, *true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < left * losses[0]


def test_a_root_of_a_mean_has_the_gradient_of_a_root() -> None:
    squares = torch.tensor([1.0, 4.0, 9.0], requires_grad=True)
    share = torch.tensor([1.0, 1.0, 0.0])
    found = _root_mean(squares, share)
    [gradient] = torch.autograd.grad(found, squares)
    [expected] = torch.autograd.grad(squares[:2].mean().sqrt(), squares)
    assert found.item() == pytest.approx(2.5**0.5)
    torch.testing.assert_close(gradient, expected)


def test_a_reward_has_gradients() -> None:
    crystals, changes = some_relaxations(2)
    batch = labelled(crystals, changes)
    learner = module(overlap_weight=1.0)
    [share] = learner.true(batch)[1:]
    loss = learner.reward_loss(batch, share)
    loss.backward()
    gradient = learner.relaxer.t5.shared.weight.grad
    assert gradient is not None
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().sum()) > 0
    # A crystal that does not count teaches nothing.
    nothing = learner.reward_loss(batch, torch.zeros_like(share))
    assert nothing.item() == 0


def test_bad_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="number_weight is -1"):
        module(number_weight=-1.0)
    with pytest.raises(InvalidArgumentError, match="overlap_weight is -1"):
        module(overlap_weight=-1.0)
    with pytest.raises(InvalidArgumentError, match="for models that write text"):
        module("numbers", overlap_weight=1.0)


def test_fit_test_and_predict(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [
        "--config", "text-chgnet", "--config", "cpu", "--data.source.path", str(folder),
        "--data.cache", str(tmp_path / "cache"), "--trainer.default_root_dir", "run",
        "--model.model.width", "8", "--model.model.num_layers", "1",
        "--model.model.feedforward", "8", "--model.model.decimals", "2",
    ]  # fmt: skip
    for command in (["fit", "--trainer.max_epochs", "10"], ["test"], ["predict"]):
        monkeypatch.setattr("sys.argv", ["crystal-relax", command[0], *options, *command[1:]])
        assert main() == 0
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["results"]
    assert {"test/positions", "test/lengths", "test/angles"} <= {one["metric"] for one in results}
    TextRelaxer.from_pretrained("run")


def test_a_module_comes_out_of_its_checkpoint(tmp_path: Path) -> None:
    one = module("numbers", number_weight=0.5)
    loaded = TextRelaxationModule.load_from_checkpoint(write_checkpoint(one, tmp_path / "a.ckpt"))
    state = one.state_dict()
    assert all(torch.equal(state[name], value) for name, value in loaded.state_dict().items())
