"""What is frozen stays, statistics too."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from crystal_data.artifacts import PretrainedModel
from crystal_data.training import CrystalModule, NamedMeans
from crystal_data.training.freezing import Freeze, freeze


class Net(PretrainedModel):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 1)

    def forward(self, batch):
        return self.head(self.drop(self.body(batch)))


class Module(CrystalModule):
    def __init__(self):
        super().__init__(Net(), optimizer=partial(torch.optim.SGD, lr=0.1))

    def new_metric(self):
        return NamedMeans(["loss"])

    def training_step(self, batch, batch_idx):
        assert not self.model.body.training
        assert self.model.drop.training
        loss = self.model(batch).square().mean()
        self.train_metric.update({"loss": (loss, torch.ones(()))})
        return loss

    def validation_step(self, batch, batch_idx):
        assert not self.model.head.training
        self.val_metric.update({})


def test_frozen_weights_and_statistics_stay(tmp_path):
    torch.manual_seed(0)
    module = Module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    loader = DataLoader(torch.randn(12, 3), batch_size=4)
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", callbacks=[Freeze(["body.*"])], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    changed = {n for n, v in module.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"model.head.weight", "model.head.bias"}


def test_a_pattern_has_to_match_something():
    model = Module().model
    with pytest.raises(ValueError, match=r"'boddy\.\*'; the names start with body, head"):
        freeze(model, ["boddy.*"])
    with pytest.raises(ValueError, match="nothing of Net is left to train"):
        freeze(model, ["*"])
    assert freeze(Module().model, ["head.*"]) == ["head.weight", "head.bias"]
