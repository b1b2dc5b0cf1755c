"""What is frozen stays, statistics too."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from crystal_data.training.freezing import Freeze, freeze


class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential()
        self.model.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
        self.model.add_module("drop", nn.Dropout(0.5))
        self.model.add_module("head", nn.Linear(4, 1))

    def training_step(self, batch, batch_idx):
        assert not self.model.body.training
        assert self.model.drop.training
        return self.model(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        assert not self.model.head.training

    def configure_optimizers(self):
        return torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], 0.1)


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
    with pytest.raises(ValueError, match="nothing of Sequential is left to train"):
        freeze(model, ["*"])
    assert freeze(Module().model, ["head.*"]) == ["head.weight", "head.bias"]
