"""Pipeline files: what they mean, and what is said of those that mean nothing."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from crystal_apps.__main__ import main
from crystal_apps.pipeline.check import read_data_module
from crystal_apps.pipeline.command import parse_seeds
from crystal_apps.pipeline.spec import PipelineError, read_pipeline
from crystal_apps.shipped import shipped_pipelines
from crystal_data.shipped_configs import announced_configs


def pipeline(folder: Path, **content: Any) -> Path:
    (folder / "model.yaml").write_text("{}")
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


CURVE = {
    "seeds": [3, 4],
    "stages": {
        "pretrain": {
            "config": "model.yaml",
            "commands": ["fit"],
            "vary": {"rows": {"few": {"data.train_size": 10}, "all": {}}},
        },
        "tune": {
            "config": ["model.yaml", "model.yaml"],
            "options": {
                "trainer.max_epochs": 7,
                "z": "random:${seed}",
                "init_from": "${pretrain}/artifact",
            },
            "vary": {
                "table": {"a": {"x": "${pretrain}"}, "b": {"x": {"y": ["${pretrain}", 1]}}},
                "rows": {"few": {"data.train_size": 10}, "all": {"trainer.max_epochs": 9}},
            },
        },
    },
}


def test_one_run_for_each_choice_and_seed(tmp_path: Path) -> None:
    runs = read_pipeline(pipeline(tmp_path, **CURVE)).runs()
    assert len(runs) == 2 * (2 + 2 * 2)
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    assert "tune/b/few/seed-4" in names
    by_name = dict(zip(names, runs, strict=True))
    few, whole = by_name["tune/b/few/seed-4"], by_name["tune/a/all/seed-3"]
    assert few.options["trainer.max_epochs"] == 7
    assert whole.options["trainer.max_epochs"] == 9  # a variant overrides the stage
    assert few.commands == ("fit", "test")
    assert few.configs == (tmp_path / "model.yaml",) * 2


def test_a_value_may_have_a_configuration_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("{}")
    models = {"one": {"config": "model.yaml"}, "two": {"config": "other.yaml", "x": 1}}
    file = pipeline(tmp_path, stages={"alone": {"vary": {"model": models, "rows": ["5", "6"]}}})
    runs = {run.name: run for run in read_pipeline(file).runs()}
    assert len(runs) == 4
    assert runs["alone/two/5/seed-0"].configs == (tmp_path / "other.yaml",)
    assert runs["alone/two/6/seed-0"].options == {"x": 1}
    assert runs["alone/one/6/seed-0"].configs == (tmp_path / "model.yaml",)
    # It comes behind the stage's, and without one each value needs its own.
    stage = {"config": "other.yaml", "vary": {"model": {"one": {"config": "model.yaml"}}}}
    (run,) = read_pipeline(pipeline(tmp_path, stages={"both": stage})).runs()
    assert run.configs == (tmp_path / "other.yaml", tmp_path / "model.yaml")
    models["two"].pop("config")
    with pytest.raises(PipelineError, match="stage alone: config names no file"):
        read_pipeline(pipeline(tmp_path, stages={"alone": {"vary": {"model": models}}}))


def test_a_reference_means_the_run_of_the_same_variant_and_seed(tmp_path: Path) -> None:
    runs = {run.name: run for run in read_pipeline(pipeline(tmp_path, **CURVE)).runs()}
    few = runs["tune/b/few/seed-4"]
    assert [run.name for run in few.needs] == ["pretrain/few/seed-4"]
    resolved = few.resolved(Path("out"))
    assert resolved["x"] == {"y": ["out/pretrain/few/seed-4", 1]}
    assert resolved["init_from"] == "out/pretrain/few/seed-4/artifact"
    assert resolved["z"] == "random:4"
    order = list(runs)
    assert all(
        order.index(need.name) < order.index(name) for name in order for need in runs[name].needs
    )


def test_other_seeds(tmp_path: Path) -> None:
    changed = read_pipeline(pipeline(tmp_path, **CURVE)).with_seeds([9])
    assert {run.seed for run in changed.runs()} == {9}
    assert parse_seeds("0,2,5-7") == [0, 2, 5, 6, 7]
    for wrong in ("", "a", "1,1", "3-", "2-1"):
        with pytest.raises(PipelineError, match="--seeds"):
            parse_seeds(wrong)


STAGE = {"config": "model.yaml"}

FOLDS = {
    "seeds": [4],
    "stages": {
        "pretrain": {**STAGE, "vary": {"fold": [0, 1]}},
        "other": STAGE,
        "tune": {
            **STAGE,
            "options": {
                "data.split.init_args.fold": "${fold}",
                "data.split.init_args.seed": "${seed}",
                "x": "${table}-${fold}-${seed}",
            },
            "vary": {
                "table": {"a": {"y": "${pretrain}"}, "b": {"y": {"z": ["${fold}"]}}},
                "fold": [0, 1],
            },
        },
    },
}


def test_the_value_of_an_axis_stands_in_options(tmp_path: Path) -> None:
    runs = {run.name: run for run in read_pipeline(pipeline(tmp_path, **FOLDS)).runs()}
    assert len(runs) == 2 + 1 + 2 * 2
    run = runs["tune/a/1/seed-4"]
    # Part of what tells runs apart, so not left to be replaced later.
    assert run.options["data.split.init_args.fold"] == 1
    assert [need.name for need in run.needs] == ["pretrain/1/seed-4"]
    assert run.resolved(Path("out")) == {
        "data.split.init_args.fold": 1,
        "data.split.init_args.seed": 4,
        "x": "a-1-4",
        "y": "out/pretrain/1/seed-4",
    }
    assert runs["tune/b/0/seed-4"].options["y"] == {"z": [0]}


def test_some_stages_and_what_they_start_from(tmp_path: Path) -> None:
    whole = read_pipeline(pipeline(tmp_path, **FOLDS))
    assert list(whole.with_stages(["tune"]).stages) == ["pretrain", "tune"]
    assert list(whole.with_stages(["other"]).stages) == ["other"]
    names = {run.name for run in whole.runs()}
    assert {run.name for run in whole.with_stages(["tune"]).runs()} < names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stages": {}}, "stages is a mapping"),
        ({"stagess": {}, "stages": {"a": STAGE}}, "unknown key 'stagess'; did you mean 'stages'"),
        ({"stages": {"a": {**STAGE, "option": {}}}}, "stage a: unknown key 'option'.*'options'"),
        ({"stages": {"a": {}}}, "stage a: config names no file"),
        ({"stages": {"a": {"config": "gone.yaml"}}}, "stage a: config: .*gone.yaml: no such file"),
        (
            {"stages": {"a": {"config": "gone"}}},
            "config: no config 'gone'; the names are ",
        ),
        ({"stages": {"seed": STAGE}}, "no stage is called that"),
        ({"stages": {"a b": STAGE}}, "'a b' becomes a folder"),
        ({"stages": {"a": {**STAGE, "commands": ["train"]}}}, "commands are some of fit"),
        ({"seeds": [1, 1], "stages": {"a": STAGE}}, "seeds is .1, 1.; a list of different"),
        ({"seeds": 3, "stages": {"a": STAGE}}, "seeds is 3"),
        (
            {"stages": {"a": {**STAGE, "vary": {"x": {}}}}},
            "vary.x: a list of values, or maps the name of each",
        ),
        ({"stages": {"a": {**STAGE, "vary": {"x": []}}}}, "vary.x: a list of values, or maps"),
        ({"stages": {"a": {**STAGE, "vary": {"a": [1]}}}}, r"vary.a: \$.a. means something else"),
        ({"stages": {"a": {**STAGE, "vary": {"seed": [1]}}}}, "give the axis another name"),
        ({"stages": {"a": {**STAGE, "options": 5}}}, "options: maps options"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        read_pipeline(pipeline(tmp_path, **content))


def test_references_that_mean_no_run(tmp_path: Path) -> None:
    later = {"b": {**STAGE, "options": {"x": "${pretrian}"}}}
    file = pipeline(tmp_path, stages={"pretrain": STAGE, **later})
    with pytest.raises(
        PipelineError, match="no stage before it and no axis of it; did you mean 'pretrain'"
    ):
        read_pipeline(file).runs()
    stages = dict(CURVE["stages"])  # type: ignore[arg-type]
    stages["tune"] = {**STAGE, "options": {"x": "${pretrain}"}}
    with pytest.raises(PipelineError, match="has to vary rows with the same names"):
        read_pipeline(pipeline(tmp_path, stages=stages)).runs()


def test_configs_that_ship_are_found_by_name(tmp_path: Path) -> None:
    stages = {"own": STAGE, "shipped": {"config": ["cgcnn-mp20", "model.yaml"]}}
    run = read_pipeline(pipeline(tmp_path, stages=stages)).runs()[1]
    assert run.configs == (announced_configs()["cgcnn-mp20"], tmp_path / "model.yaml")


def test_pipelines_that_ship_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["configs", "uae-mp20"]) == 0
    assert "config: crystal-transformer-mp20" in capsys.readouterr().out
    assert main(["configs"]) == 0
    listed = capsys.readouterr().out
    assert listed.index("  cgcnn-folder ") < listed.index("crystal run NAME")
    assert listed.index("crystal run NAME") < listed.index("  uae-mp20 ")
    assert main(["run", "uae-mp2"]) == 1
    assert "no config 'uae-mp2'; the names are uae-mp20, " in capsys.readouterr().err


@pytest.mark.parametrize("file", shipped_pipelines().values(), ids=shipped_pipelines())
def test_every_pipeline_that_ships_is_one(file: Path) -> None:
    assert read_pipeline(file).runs()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such file"):
        read_pipeline(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("stages: [}")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_pipeline(tmp_path / "bad.yaml")


def test_a_file_of_many_levels_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text("stages: " + "[" * 100_000)
    with pytest.raises(PipelineError, match=r"deep\.yaml: cannot be read: nested more than 100"):
        read_pipeline(file)


def test_a_config_of_many_levels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("model: " + "[" * 100_000)
    with pytest.raises(PipelineError, match=r"tune: .*deep\.yaml: nested more than 100 levels"):
        read_data_module("tune", ["--config", str(tmp_path / "deep.yaml")])


def test_to_check_a_config_changes_no_random_numbers(tmp_path: Path) -> None:
    config = {
        "seed_everything": 3,
        "model": {
            "class_path": "crystal_data.training.PropertyModule",
            "init_args": {
                "model": {"class_path": "crystal_data.artifacts.PretrainedModel"},
                "targets": ["energy"],
            },
        },
        "data": {
            "class_path": "crystal_data.CrystalDataModule",
            "init_args": {"source": {"class_path": "crystal_data.BuiltinSource"}, "seed": 5},
        },
    }
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(config))
    before = torch.random.get_rng_state(), random.getstate()
    data = read_data_module("tune", ["--config", str(tmp_path / "model.yaml")])
    assert data.seed == 5
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
