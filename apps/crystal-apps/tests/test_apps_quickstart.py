"""The quickstart at a small size: all stages, once and again."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from crystal_apps.pipeline.spec import PipelineError
from crystal_apps.quickstart import command
from crystal_data import ATOMIC_NUMBERS, read_crystals


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(command.PIPELINE.parent, tmp_path / "small")
    for file in (folder / "transformer.yaml", folder / "cgcnn.yaml"):
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        config["trainer"]["max_epochs"] = 1
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.setattr(command, "PIPELINE", folder / "pipeline.yaml")


def quick(out: Path, *, fresh: bool = False) -> tuple[Path, str]:
    console = Console(record=True, width=100)
    page = command.run(out, fresh=fresh, console=console)
    return page, console.export_text()


@pytest.mark.slow
def test_all_stages_then_none_again(tmp_path: Path) -> None:
    out = tmp_path / "quickstart"
    page, text = quick(out)
    html = page.read_text(encoding="utf-8")
    for arm in ("one-hot", "random", "atom-init", "universal"):
        assert f"cgcnn · {arm} · seed 0" in html
        assert arm in text
    assert "not evidence" in html
    assert "mean guess" in text
    assert "test MAE, eV/atom" in text
    transformer, universal = out / "transformer" / "seed-0", out / "cgcnn" / "universal" / "seed-0"
    table = json.loads((transformer / "atom_init.json").read_text(encoding="utf-8"))
    assert {len(vector) for vector in table.values()} == {64}
    assert set(map(int, table)) < set(ATOMIC_NUMBERS.values())
    assert 30 < len(table) < 100
    config = yaml.safe_load((universal / "config.yaml").read_text(encoding="utf-8"))
    arguments = config["model"]["init_args"]["model"]["init_args"]
    assert arguments["element_table"] == str(transformer)

    assert len(read_crystals(out / command.CRYSTALS).crystals) >= 8

    predictions = universal / "predictions" / "test.csv"
    written = predictions.stat().st_mtime_ns
    _, text = quick(out)
    assert text.count("finished before") == 5
    assert predictions.stat().st_mtime_ns == written


def test_fresh_deletes_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PipelineError, match="--fresh deletes"):
        quick(tmp_path, fresh=True)
    assert (tmp_path / "thesis.tex").exists()
