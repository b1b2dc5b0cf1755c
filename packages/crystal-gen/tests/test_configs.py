"""Every shipped file builds what it says; skipped where there is no workspace around it."""

from pathlib import Path

import pytest

from crystal_data.training.cli import CrystalCLI
from crystal_gen import StructureModule, WyckoffModule

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted((CONFIGS / "gen").glob("*.yaml"))
pytestmark = pytest.mark.skipif(not FILES, reason="the configs are not here")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_builds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path.stem.startswith("glm-small"):
        pytest.importorskip("transformers")
    cpu = CONFIGS / "trainer" / "cpu.yaml"
    arguments = ["--config", str(path), "--config", str(cpu)]
    arguments += ["--trainer.default_root_dir", str(tmp_path)]
    cli = CrystalCLI([*arguments, "--trainer.logger", "false"], run=False)
    assert isinstance(cli.model, StructureModule | WyckoffModule)
    column = cli.model.collator.column
    assert column.uses_symmetry is ("dense" not in path.stem)
    assert list(tmp_path.iterdir()) == []
