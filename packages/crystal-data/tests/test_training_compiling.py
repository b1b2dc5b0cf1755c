"""Training with torch.compile; skipped where nothing can be compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch._dynamo.utils import counters

from crystal_data.errors import InvalidArgumentError
from crystal_data.training import EMA, Compile, PropertyModule

sys.path.insert(0, str(Path(__file__).parent / "toy"))
from crystal_toy.data import ToyData
from crystal_toy.model import ElementSum

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler"
)


class Counting(Compile):
    """Notes how many graphs there are after each batch, and whether validation is compiled."""

    def __init__(self):
        super().__init__()
        self.graphs = []
        self.validated_as_written = set()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.graphs.append(counters["stats"]["unique_graphs"])

    def on_validation_batch_end(self, trainer, pl_module, *args):
        self.validated_as_written.add(pl_module.model._compiled_call_impl is None)


def fitted(folder, *callbacks, epochs=3):
    torch.manual_seed(0)
    module = PropertyModule(ElementSum(hidden_size=4), ["energy"], optimizer=torch.optim.Adam)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        callbacks=[EMA(0.9), *callbacks],
    )
    trainer.fit(module, datamodule=ToyData(batch_size=20))  # the last batch is smaller
    (checkpoint,) = Path(folder).rglob("*.ckpt")
    return trainer, module, torch.load(checkpoint, weights_only=True)


@pytest.mark.slow
@needs_compiler
def test_compiled_training_is_the_same(tmp_path, capfd):
    torch._dynamo.reset()
    counters.clear()
    compile_ = Counting()
    _, plain, expected = fitted(tmp_path / "plain")
    trainer, module, checkpoint = fitted(tmp_path / "compiled", compile_)
    assert "without torch.compile" not in capfd.readouterr().err

    # Something was compiled, and for the first batch alone, though the others differ in shape.
    first = compile_.graphs[0]
    assert first > 0
    assert compile_.graphs == [first] * 15
    assert compile_.validated_as_written == {True}

    for part in ("state_dict", "current_model_state"):
        assert list(checkpoint[part]) == list(expected[part])
        for name, value in expected[part].items():
            torch.testing.assert_close(checkpoint[part][name], value, atol=1e-5, rtol=1e-5)

    # After the training the model is the one that was given.
    assert module.model._compiled_call_impl is None
    torch.testing.assert_close(module.state_dict(), plain.state_dict(), atol=1e-5, rtol=1e-5)
    trainer.test(module, datamodule=ToyData(), verbose=False)
    assert counters["stats"]["unique_graphs"] == first


@pytest.mark.slow
def test_without_a_compiler_training_says_so_once(tmp_path):
    # In a process of its own, because torch remembers what it found out about the compiler.
    script = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent / "toy")]!r}
from crystal_data.training import Compile
from test_training_compiling import fitted
fitted("run", Compile(), epochs=2)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("training runs without torch.compile") == 1
    assert "g++" in done.stderr
    assert list((tmp_path / "run").rglob("*.ckpt"))


def test_another_module_is_refused():
    trainer = Trainer(logger=False, accelerator="cpu")
    with pytest.raises(
        InvalidArgumentError, match="LightningModule is no CrystalModule; derive it from"
    ):
        Compile().on_fit_start(trainer, LightningModule())
