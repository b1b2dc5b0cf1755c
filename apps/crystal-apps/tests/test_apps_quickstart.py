"""The quickstart at a small size: all stages, once and again."""

import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from crystal_apps import quickstart
from crystal_apps.stages import Stage, StageError
from crystal_data import ATOMIC_NUMBERS


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A cache of its own, because fewer crystals under the same fingerprint are another store.
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("crystal_data.builtin.generate.PER_PROTOTYPE", 8)
    monkeypatch.setattr(quickstart, "NUM_LABELLED", 40)
    monkeypatch.setattr(quickstart, "_EPOCHS", {"transformer": 2, "cgcnn": 2})


def quick(out: Path, *, fresh: bool = False) -> tuple[Path, str]:
    console = Console(record=True, width=100)
    page = quickstart.run(out, fresh=fresh, console=console)
    return page, console.export_text()


@pytest.mark.filterwarnings("ignore")  # of Lightning, which the command keeps in log.txt
def test_all_stages_then_none_again(tmp_path: Path) -> None:
    out = tmp_path / "quickstart"
    page, text = quick(out)
    html = page.read_text(encoding="utf-8")
    for arm in ("one-hot", "random", "atom_init", "universal"):
        assert f"cgcnn-{arm}" in html
        assert arm in text
    assert "not evidence" in html
    assert "mean guess" in text
    assert "test MAE, eV/atom" in text
    table = json.loads((out / "transformer" / "atom_init.json").read_text(encoding="utf-8"))
    assert {len(vector) for vector in table.values()} == {64}
    assert set(map(int, table)) < set(ATOMIC_NUMBERS.values())
    assert 30 < len(table) < 100
    config = yaml.safe_load((out / "cgcnn-universal" / "config.yaml").read_text(encoding="utf-8"))
    arguments = config["model"]["init_args"]["model"]["init_args"]
    assert arguments["element_table"] == str(out / "transformer")

    predictions = out / "cgcnn-universal" / "predictions" / "test.csv"
    written = predictions.stat().st_mtime_ns
    _, text = quick(out)
    assert text.count("done before") == 5
    assert predictions.stat().st_mtime_ns == written
    # A changed input runs what depends on it, and nothing else.
    weights = out / "transformer" / "artifact" / "model.safetensors"
    stage = quickstart.downstream(out, quickstart.arms(out)[-1])
    assert stage.is_done()
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not quickstart.downstream(out, quickstart.arms(out)[-1]).is_done()
    assert quickstart.downstream(out, quickstart.arms(out)[0]).is_done()


def test_fresh_deletes_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StageError, match="--fresh deletes"):
        quick(tmp_path, fresh=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_stage_that_fails_names_its_log(tmp_path: Path) -> None:
    stage = quickstart.pretraining(tmp_path)
    config = json.loads(json.dumps(stage.config))
    config["data"]["init_args"]["batch_sise"] = 3
    broken = Stage(tmp_path / "broken", "broken", config)
    with pytest.raises(StageError, match=r"fit ended with status 2; see .*log\.txt"):
        broken.run(lambda done, total: None)
    assert "batch_size" in (tmp_path / "broken" / "log.txt").read_text(encoding="utf-8")
    assert not broken.is_done()
