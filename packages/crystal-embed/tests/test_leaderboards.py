import gzip
import hashlib
import json
import zipfile

import pytest

from crystal_embed.__main__ import main
from crystal_embed.leaderboards.matbench import hash_record

TASK = "AI-SinglePropertyPrediction-formation_energy_peratom-dft_3d-test-mae"
METADATA = {
    "model_name": "mine", "project_url": "https://example.org", "date_submitted": "01-31-2026",
    "author_email": "a@example.org", "database_version": "12-12-2022", "team_name": "us",
    "language": "python", "os": "linux", "software_used": "crystal-embed",
    "hardware_used": "one core", "git_url": ["https://example.org"],
}  # fmt: skip
INFO = {
    "authors": "A. B.", "algorithm": "CGCNN ours", "algorithm_long": "with a table in front",
    "bibtex_refs": "@article{x}", "notes": "", "requirements": {"python": ["crystal-embed==0.1.0"]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def table(path, rows):
    lines = ["id,target,prediction", *(f"{i},{t},{p}" for i, t, p in rows)]
    write(path, "\n".join(lines) + "\n")


def jarvis(workplace, rows, metadata=METADATA, task=TASK):
    truth = {"train": {"JVASP-1": 0.0}, "val": {}, "test": {"JVASP-2": 1.0, "JVASP-3": -2.0}}
    with zipfile.ZipFile("dft_3d_formation_energy_peratom.json.zip", "w") as packed:
        packed.writestr("dft_3d_formation_energy_peratom.json", json.dumps(truth))
    table(workplace / "test.csv", rows)
    write(workplace / "about.json", metadata)
    return main([
        "export", "--to", "jarvis", "--task", task, "--predictions", "test.csv", "--about",
        "about.json", "--truth", "dft_3d_formation_energy_peratom.json.zip", "--output", "mine",
    ])  # fmt: skip


def test_jarvis(workplace):
    assert jarvis(workplace, [("JVASP-2", 1, 0.9), ("JVASP-3", -2, -1.5)]) == 0
    with zipfile.ZipFile(workplace / "mine" / f"{TASK}.csv.zip") as packed:
        assert packed.namelist() == [f"{TASK}.csv"]
        assert packed.read(f"{TASK}.csv").decode() == "id,prediction\nJVASP-2,0.9\nJVASP-3,-1.5\n"
    written = json.loads((workplace / "mine" / "metadata.json").read_text())
    assert written == {**METADATA, "time_taken_seconds": {f"{TASK}.csv.zip": 0}}


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([("JVASP-2", 1, 1)], {}, r"1 of them have no prediction (JVASP-3)"),
        ([("JVASP-2", 1, 1), ("JVASP-3", 1, 1), ("JVASP-1", 1, 1)], {}, "not among them (JVASP-1)"),
        ([("JVASP-2", 1, 1), ("JVASP-2", 1, 1)], {}, "line 3: JVASP-2 is there twice"),
        ([("JVASP-2", 1, 1), ("JVASP-3", 1, "")], {}, "'' is no finite number"),
        ([("JVASP-2", 1, 1), ("JVASP-3", 1, 1)], {"team_name": 3}, "'team_name' is 3"),
    ],
)
def test_jarvis_refuses(rows, changes, message, workplace, capsys):
    assert jarvis(workplace, rows, METADATA | changes) == 1
    assert message in capsys.readouterr().err
    assert not (workplace / "mine").exists()


def test_jarvis_task_names(workplace, capsys):
    rows = [("JVASP-2", 1, 1), ("JVASP-3", 1, 1)]
    assert jarvis(workplace, rows, task="formation_energy") == 1
    assert "a task is called AI-SingleProperty" in capsys.readouterr().err
    assert jarvis(workplace, rows, task=TASK.replace("peratom", "total")) == 1
    assert "is called dft_3d_formation_energy_total.json.zip" in capsys.readouterr().err


def matbench(workplace, task="matbench_mp_gap", info=INFO, missing=False):
    folds = {f"fold_{i}": {"test": [f"mb-{i}-{j}" for j in range(3)]} for i in range(5)}
    write(workplace / "validation.json", {"splits": {task: folds}})
    write(workplace / "info-in.json", info)
    for number, fold in enumerate(folds.values()):
        rows = [(name, place % 2, 0.25 + place / 4) for place, name in enumerate(fold["test"])]
        table(workplace / f"{number}.csv", rows[1:] if missing else rows)
    return main([
        "export", "--to", "matbench", "--task", task, "--truth", "validation.json", "--about",
        "info-in.json", "--output", "out", "--predictions", *(f"{n}.csv" for n in range(5)),
    ])  # fmt: skip


def test_matbench(workplace):
    assert matbench(workplace) == 0
    assert matbench(workplace, "matbench_mp_is_metal") == 0
    record = json.loads(gzip.decompress((workplace / "out" / "results.json.gz").read_bytes()))
    assert set(record) == {
        "@module", "@class", "version", "benchmark_name", "tasks", "user_metadata", "datestamp",
        "hash",
    }  # fmt: skip
    hashed = record.pop("hash")
    assert hashed == hash_record(record)
    assert hashed == hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    assert set(record["tasks"]) == {"matbench_mp_gap", "matbench_mp_is_metal"}
    fold = record["tasks"]["matbench_mp_gap"]["results"]["fold_4"]
    assert fold["data"] == {"mb-4-0": 0.25, "mb-4-1": 0.5, "mb-4-2": 0.75}
    assert fold["scores"]["mae"] == pytest.approx(0.5)
    assert fold["scores"]["max_error"] == 0.75
    assert fold["scores"]["mape"] == 0.5
    scores = record["tasks"]["matbench_mp_is_metal"]["results"]["fold_0"]["scores"]
    assert scores == {
        "accuracy": pytest.approx(1 / 3), "balanced_accuracy": 0.25, "f1": 0.0, "rocauc": 0.25
    }  # fmt: skip
    assert json.loads((workplace / "out" / "info.json").read_text()) == INFO


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": True}, "1 of them have no prediction"),
        ({"task": "matbench_gap"}, "no task 'matbench_gap'"),
        ({"info": {**INFO, "algorithm": "x"}}, "5 to 15 characters"),
        ({"info": {}}, "'authors' is None"),
    ],
)
def test_matbench_refuses(options, message, workplace, capsys):
    assert matbench(workplace, **options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b'{"a":', b"[]", b"{}", b'{"splits": 3}']
)
@pytest.mark.parametrize("damaged", ["truth", "predictions"])
@pytest.mark.parametrize("to", ["jarvis", "matbench"])
def test_damaged_files_are_one_line(to, damaged, content, workplace, capsys):
    truth = workplace / "dft_3d_formation_energy_peratom.json.zip"
    if to == "matbench":
        truth = workplace / "validation.json"
        folds = {f"fold_{number}": {"test": ["a"]} for number in range(5)}
        write(truth, {"splits": {"matbench_mp_gap": folds}})
    else:
        with zipfile.ZipFile(truth, "w") as packed:
            packed.writestr("dft_3d_formation_energy_peratom.json", '{"test": {"a": 1.0}}')
    table(workplace / "mine.csv", [("a", 1.0, 2.0)])
    write(workplace / "about.json", METADATA if to == "jarvis" else INFO)
    file = truth if damaged == "truth" else workplace / "mine.csv"
    file.write_bytes(content)
    task = TASK if to == "jarvis" else "matbench_mp_gap"
    command = ["export", "--to", to, "--task", task, "--truth", str(truth), "--output", "out"]
    command += ["--about", "about.json"]
    command += ["--predictions", *["mine.csv"] * (1 if to == "jarvis" else 5)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert file.name in error
    assert len(error.splitlines()) == 1
