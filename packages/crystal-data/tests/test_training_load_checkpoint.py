"""Modules made again from their checkpoints, of which nothing is executed."""

import copy

import pytest
import torch
from torch import nn

from crystal_data.artifacts import ModelRegistry, PretrainedModel
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.run_folder import RunError
from crystal_data.testing import AtomVectors, random_crystals, write_checkpoint
from crystal_data.training import CrystalModule, NamedMeans, PropertyModule
from crystal_data.training.module_description import CheckpointError, describe
from crystal_data.transforms import MaskAtoms, PerturbAtoms


class Counts(PretrainedModel):
    """Properties from the sums of one number for each element."""

    def __init__(self, num_outputs: int | None = None, start: float = 1.0) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.full((119, num_outputs or 1), start))

    def forward(self, batch):
        out = self.rows.new_zeros(batch.num_crystals, self.rows.shape[1])
        return out.index_add(0, batch.batch, self.rows[batch.atomic_numbers])

    def set_num_outputs(self, num_outputs):
        if num_outputs != self.rows.shape[1]:
            self.rows = nn.Parameter(torch.full((119, num_outputs), self._arguments["start"]))


class Repair(CrystalModule):
    """Remembers values of several kinds."""

    def __init__(self, model: PretrainedModel, corruptions, *, sizes=(1, 2), **options) -> None:
        super().__init__(model, **options)
        self.given = corruptions
        self.sizes = sizes

    def new_metric(self):
        return NamedMeans(("loss",))


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    registry = ModelRegistry("crystal_data", {"Counts": Counts.__module__})
    monkeypatch.setattr(registry, "model_class", {"Counts": Counts}.__getitem__)
    monkeypatch.setattr(Counts, "registry", classmethod(lambda cls: registry))
    monkeypatch.setattr(
        "crystal_data.artifacts.pretrained.registry_of", lambda *args, **options: registry
    )


def trained(**options):
    torch.manual_seed(1)
    module = PropertyModule(Counts(start=2.0), "a, b", loss="mae", **options)
    module.take_fields({"a": Field("a", "eV"), "b": Field("b", "1", shape=(3,))}, is_fit=True)
    module.normalizer.take([torch.tensor([1.0]), torch.arange(3.0)], [2.0, 3.0])
    nn.init.normal_(module.model.rows)
    return module


def test_the_outputs_follow_the_targets():
    assert PropertyModule(Counts(), "a").model.rows.shape == (119, 1)
    assert PropertyModule(Counts(), "a,b").model.rows.shape == (119, 2)
    assert PropertyModule(Counts(), ["a", "b, c"]).targets == ("a", "b, c")
    assert trained().model.rows.shape == (119, 4)
    # A number that was asked for stays, and what does not fit is told when it is seen.
    assert PropertyModule(Counts(num_outputs=3), "a,b").model.rows.shape == (119, 3)
    assert PropertyModule(AtomVectors(), "a").model.output.weight.shape[0] == 1


def test_a_module_is_as_it_was_saved(tmp_path):
    module = trained(target_weights={"a": 0.5})
    loaded = PropertyModule.load_from_checkpoint(write_checkpoint(module, tmp_path / "a.ckpt"))
    batch = CrystalBatch.from_crystals(random_crystals(4, seed=0)).float32()
    assert torch.equal(loaded(batch), module(batch))
    assert loaded.fields == module.fields
    assert describe(loaded) == describe(module)
    assert describe(copy.deepcopy(module)) == describe(module)


def test_values_are_made_again(tmp_path):
    module = Repair(Counts(), [MaskAtoms(0.25), PerturbAtoms(0.2, relative=False)], sizes=(3, 4))
    loaded = Repair.load_from_checkpoint(write_checkpoint(module, tmp_path / "a.ckpt"))
    assert [type(one) for one in loaded.given] == [MaskAtoms, PerturbAtoms]
    assert (loaded.given[0].species_probability, loaded.given[1].sigma) == (0.25, 0.2)
    assert not loaded.given[1].relative
    assert list(loaded.sizes) == [3, 4]


def test_what_is_given_takes_the_place_of_what_was_saved(tmp_path):
    path = write_checkpoint(trained(), tmp_path / "a.ckpt")
    rates = []
    loaded = PropertyModule.load_from_checkpoint(
        path, loss="mse", optimizer=lambda p: rates.append(1) or torch.optim.SGD(p, lr=0.5)
    )
    assert loaded.optimizer_plans()[0].optimizer.param_groups[0]["lr"] == 0.5
    assert loaded._arguments["loss"] == "mse"


def test_a_model_in_no_registry_has_to_be_given(tmp_path):
    field = Field("forces", "eV/Å", "atom", (3,), "vector")
    module = PropertyModule(AtomVectors(4), "forces")
    module.take_fields({"forces": field}, is_fit=True)
    path = write_checkpoint(module, tmp_path / "a.ckpt")
    if "model" in torch.load(path, weights_only=True)["crystal_module"]["arguments"]:
        pytest.fail("the model should be unknown")
    with pytest.raises(CheckpointError, match=r"give it: PropertyModule.*model=\.\.\."):
        PropertyModule.load_from_checkpoint(path)
    loaded = PropertyModule.load_from_checkpoint(path, model=AtomVectors(4))
    assert torch.equal(loaded.model.output.weight, module.model.output.weight)


def change(path, changed):
    content = torch.load(path, weights_only=True)
    changed(content["crystal_module"])
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda d: d.update({"class": "Other"}), "is of a Other, not of a PropertyModule"),
        (dict.clear, "does not hold what a PropertyModule is made with: model, targets"),
        (
            lambda d: d["arguments"].update(
                loss={"kind": "value", "module": "os", "class": "system", "arguments": {}}
            ),
            "names os.system, which is not used",
        ),
        (
            lambda d: d["arguments"].update(
                loss={
                    "kind": "value",
                    "module": "crystal_data.lazy",
                    "class": "import_module",
                    "arguments": {"name": "this"},
                }
            ),
            "crystal_data.lazy.import_module, which is no plain value",
        ),
        (lambda d: d["arguments"].update(loss={"no": "kind"}), "does not say how"),
    ],
)
def test_a_checkpoint_runs_nothing(tmp_path, changed, message):
    path = change(write_checkpoint(trained(), tmp_path / "a.ckpt"), changed)
    with pytest.raises(CheckpointError, match=message):
        PropertyModule.load_from_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        PropertyModule.load_from_checkpoint(path)
