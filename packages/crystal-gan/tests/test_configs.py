"""Every shipped file builds what it says; skipped where there is no workspace around it."""

from pathlib import Path

import pytest

from crystal_data.training import PropertyModule
from crystal_data.training.cli import CrystalCLI
from crystal_gan import Equiformer, RepairModule

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted((CONFIGS / "gan").glob("*.yaml"))
pytestmark = pytest.mark.skipif(not FILES, reason="the configs are not here")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_builds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cpu = CONFIGS / "trainer" / "cpu.yaml"
    arguments = ["--config", str(path), "--config", str(cpu)]
    arguments += ["--trainer.default_root_dir", str(tmp_path)]
    cli = CrystalCLI([*arguments, "--trainer.logger", "false"], run=False)
    if isinstance(cli.model, PropertyModule):
        assert isinstance(cli.model.model, Equiformer)
        # The data tell which targets are spectra.
        assert cli.model.model.output[-1].out_features == len(cli.model.targets)
    else:
        assert isinstance(cli.model, RepairModule)
    assert list(tmp_path.iterdir()) == []
