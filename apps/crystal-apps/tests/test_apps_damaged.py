"""Damaged files of runs and of recorded results, as benchmarks and pipelines read them."""

from pathlib import Path

import pytest

from crystal_apps.benchmark import results
from crystal_apps.benchmark.convergence import validation_curve
from crystal_apps.benchmark.gain import structure_errors
from crystal_apps.benchmark.spec import read_benchmark
from crystal_apps.pipeline.spec import PipelineError
from crystal_data.io.own_files import DamagedFileError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"epoch,val/mae/gap\n0,1.0\n1,0.", "the last line is cut off"),
        (b"epoch,val/mae/gap\n0,1.0,7\n", "row 2 has 3 cells"),
        (b"epoch,val/mae/gap\n0,good\n", "column val/mae/gap"),
    ],
)
def test_learning_curves(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(DamagedFileError, match=message):
        validation_curve(tmp_path, "test/mae/gap")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,target,prediction\na,1.0,2.0\nb,1.0,0.", "the last line is cut off"),
        (b"id,target,prediction\na,1.0,x\n", "column prediction holds 'x', not a number"),
        (b"id,prediction\na,1.0\n", "it has no labels of gap"),
        (b"target,prediction\n1.0,1.0\n", "it has no column id"),
    ],
)
def test_predictions(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/test.csv").write_bytes(content)
    with pytest.raises(DamagedFileError, match=message):
        structure_errors([tmp_path], "gap")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"format_version": 3}', b"\xff"])
def test_recorded_results(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "small.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"small\.json: damaged: "):
        results.read(path)


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"3", b"title: t\npipeline: p.yaml\ntables: 3\n"]
)
def test_benchmark_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.yaml").write_text("{}", encoding="utf-8")
    pipeline = "stages: {one: {config: model.yaml}}\n"
    (tmp_path / "p.yaml").write_text(pipeline, encoding="utf-8")
    path = tmp_path / "b.yaml"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"b\.yaml: ") as caught:
        read_benchmark(path)
    assert len(str(caught.value).splitlines()) == 1
