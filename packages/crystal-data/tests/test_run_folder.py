"""The folder of a run: its places, and what is read from them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crystal_data.io import DamagedFileError
from crystal_data.metrics import MetricResult
from crystal_data.run_folder import (
    RunError,
    RunFolder,
    latest_run,
    new_run,
    prediction_columns,
    run_group,
    run_of_checkpoint,
)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_neither_torch_nor_lightning_is_imported():
    code = (
        "import sys, crystal_data.run_folder\n"
        "print(sorted({'torch', 'lightning', 'pymatgen'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_runs_of_a_group_are_numbered(tmp_path):
    with pytest.raises(RunError, match="no run with a checkpoint"):
        latest_run(tmp_path / "toy")
    runs = [new_run(tmp_path / "toy") for _ in range(3)]
    assert [run.path.name for run in runs] == ["001", "002", "003"]
    touch(runs[1].checkpoint("last"))
    assert latest_run(tmp_path / "toy") == runs[1]
    # A number that somebody has taken is not given again.
    (tmp_path / "toy" / "010").mkdir()
    (tmp_path / "toy" / "005").mkdir()
    assert new_run(tmp_path / "toy").path.name == "006"


def test_the_group_of_a_config_is_that_of_the_run_that_saved_it(tmp_path):
    run = RunFolder(tmp_path / "toy" / "001")
    assert run_group([]) == Path("runs/unnamed")
    assert run_group([Path("configs/mine.yaml"), run.config_file()]) == Path("runs/mine")
    assert run_group([run.config_file()]) == Path("runs/config")
    run.checkpoints.mkdir(parents=True)
    assert run_group([run.config_file()]) == tmp_path / "toy"


def test_checkpoints_by_name_and_by_path(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(RunError, match=r"best\.ckpt: no such checkpoint; there is none"):
        run.resolve_checkpoint("best")
    last = touch(run.checkpoint("last"))
    with pytest.raises(RunError, match=r"no such checkpoint; there are last\.ckpt"):
        run.resolve_checkpoint("best")
    assert run.resolve_checkpoint("last") == run.resolve_checkpoint(str(last)) == last
    assert run_of_checkpoint(str(last)) == run
    assert run_of_checkpoint(str(tmp_path / "elsewhere.ckpt")) is None
    assert run_of_checkpoint(None) is None


def test_what_is_not_there_is_empty(tmp_path):
    run = RunFolder(tmp_path / "nowhere")
    assert run.metrics() == run.results() == run.notes() == []
    assert run.config() == run.predictions("test") == run.rejected_reasons() == {}
    assert run.artifact_config() == run.artifact_metadata() == {}
    assert run.num_excluded() == 0


def test_metrics_and_results_come_back(tmp_path):
    run = RunFolder(tmp_path)
    run.write_metrics([{"epoch": 0, "lr": 0.1}, {"epoch": 1, "val/mae": 0.5}])
    assert run.metrics() == [
        {"epoch": "0", "lr": "0.1", "val/mae": ""},
        {"epoch": "1", "lr": "", "val/mae": "0.5"},
    ]
    results = [MetricResult("test/mae/gap", 0.5, num_samples=3)]
    run.write_results(results)
    assert run.results() == results


def test_predictions_of_one_target_and_of_several(tmp_path):
    run = RunFolder(tmp_path)
    path = touch(run.predictions_file("test"))
    path.write_text("id,target,prediction\na,1,1.5\nb,,2\n")
    (table,) = run.predictions("test").values()
    assert table.identifiers == ("a", "b")
    np.testing.assert_array_equal(table.prediction, [1.5, 2])
    np.testing.assert_array_equal(table.target, [1, np.nan])
    names = [*prediction_columns("x", "eV"), *prediction_columns("y:z")]
    assert names == ["x:label [eV]", "x [eV]", "y:z:label", "y:z"]
    path.write_text(f"id,{','.join(names)},w [K],x:std [eV],note\na,1,2,3,4,5,6,none\n")
    tables = run.predictions("test")
    found = {
        name: (None if one.target is None else float(one.target[0]), float(one.prediction[0]))
        for name, one in tables.items()
    }
    assert found == {"x": (1, 2), "y:z": (3, 4), "w": (None, 5)}
    # Tables of earlier versions, and one of a target that is called so.
    path.write_text("id,x:target,x:prediction,w:prediction\na,1,2,5\n")
    assert {name: one.target is None for name, one in run.predictions("test").items()} == {
        "x": False,
        "w": True,
    }
    path.write_text("id,target:label,target\na,1,2\n")
    (table,) = run.predictions("test").values()
    assert (float(table.target[0]), float(table.prediction[0])) == (1, 2)
    path.write_text("id,target,prediction\na,1,high\n")
    with pytest.raises(DamagedFileError, match="column prediction holds 'high', not a number"):
        run.predictions("test")


def test_counts_of_the_tables_about_data(tmp_path):
    run = RunFolder(tmp_path)
    run.data_tables.rejected.write_text("id,file,stage,reason,detail\na,,x,empty,\nb,,x,empty,\n")
    run.data_tables.notes.write_text("id,file,note\na,a.cif,group from the cell\n")
    run.data_tables.excluded.write_text("id,matched_id,evaluation_set,how\na,b,s,id\n")
    assert run.rejected_reasons() == {"empty": 2}
    assert run.notes() == [("a", "group from the cell")]
    assert run.num_excluded() == 1
    # Tables about what was predicted lie elsewhere, so that these stay.
    assert run.predicted_data_tables.rejected != run.data_tables.rejected


@pytest.mark.parametrize("format_version", [1, 2])
def test_an_artifact_of_a_past_format_reads_as_one_of_the_present(tmp_path, format_version):
    run = RunFolder(tmp_path)
    run.artifact.mkdir()
    old = {"format_version": format_version, "model": "CGCNN", "targets": {}}
    (run.artifact / "config.json").write_text(json.dumps(old))
    assert run.artifact_config()["class_name"] == "CGCNN"
    assert run.artifact_config()["kind"] == "model"


@pytest.mark.parametrize(
    "config",
    [{"targets": 3}, {"format_version": 2}, {"format_version": "2"}, {"format_version": 9}],
)
def test_an_artifact_that_is_not_complete_is_read_as_it_is(tmp_path, config):
    run = RunFolder(tmp_path)
    run.artifact.mkdir()
    (run.artifact / "config.json").write_text(json.dumps(config))
    assert run.artifact_config() == config
