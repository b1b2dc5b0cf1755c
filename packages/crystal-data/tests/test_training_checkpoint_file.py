"""Checkpoints that are damaged, no checkpoints, or would run code."""

import os
from pathlib import Path

import pytest
import torch

from crystal_data.run_folder import RunError
from crystal_data.training.checkpoint_file import read_checkpoint

WEIGHTS = torch.arange(1000.0)
CONTENT = {
    "state_dict": {"weight": WEIGHTS},
    "epoch": 3,
    "global_step": 12,
    "pytorch-lightning_version": "2.6.0",
}
RESUMABLE = {"optimizer_states": [], "lr_schedulers": [], "loops": {}, "callbacks": {}}


class Executes:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("last.ckpt")
    torch.save(CONTENT | RESUMABLE, path)
    return path


def test_a_whole_one_is_read(path):
    assert torch.equal(read_checkpoint(path, to_resume=True)["state_dict"]["weight"], WEIGHTS)


def test_one_flipped_bit_is_found(path):
    content = bytearray(path.read_bytes())
    place = content.find(WEIGHTS.numpy().tobytes())
    content[place + 401] ^= 0x40
    path.write_bytes(content)
    # torch itself reads it, with another number in it.
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["weight"], WEIGHTS)
    with pytest.raises(RunError, match=r"last\.ckpt: not used: .* has another checksum"):
        read_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_one_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match="the file is damaged or no checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_is_refused_or_without_effect(path, seed):
    rng = torch.Generator().manual_seed(seed)
    content = bytearray(path.read_bytes())
    for place in torch.randint(len(content), (5,), generator=rng).tolist():
        content[place] ^= 0x5A
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except RunError:
        return
    assert torch.equal(found["state_dict"]["weight"], WEIGHTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 1}, "it has no state_dict"),
        ([1, 2], "it is no checkpoint of a training"),
        (CONTENT | {"state_dict": Executes()}, "it holds more than tensors and plain values"),
    ],
)
def test_something_else_is_refused(content, message, path):
    torch.save(content, path)
    with pytest.raises(RunError, match=message):
        read_checkpoint(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", RESUMABLE)
def test_what_a_training_goes_on_from_has_to_be_there(name, path):
    torch.save(CONTENT | {key: value for key, value in RESUMABLE.items() if key != name}, path)
    read_checkpoint(path)
    with pytest.raises(RunError, match=f"it has no {name}"):
        read_checkpoint(path, to_resume=True)
