"""`predict` has one parser for its two uses, and answers a mistake with one line."""

from pathlib import Path

import pytest

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.predict import run_predict
from crystal_data.inference import ShippedModels
from crystal_data.training import command

SHIPPED = ShippedModels("crystal-toy", Path(__file__).parent / "nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.cif", "--modle", "x"], "no option '--modle'; did you mean '--model'?"),
        (["a.cif", "--modle=x"], "no option '--modle'; did you mean '--model'?"),
        (["a.cif", "--trainer.devices", "2"], "no option '--trainer.devices'; "),
        (["a.cif", "--batch", "2"], "no option '--batch'; did you mean '--batch-size'?"),
        ([], "give structures"),
        (["a.cif"], "give a model with --model"),
        (["a.cif", "--model", "m", "--output", "a.txt"], "--output writes a table; name it .csv"),
        (["a.cif", "--model", "m", "--devices", "0"], "--batch-size and --devices are at least 1"),
        (["a.cif", "--config", "c.yaml"], "'a.cif' and --config do not go together: a config"),
        (["--config", "c.yaml", "a.cif"], "'a.cif' and --config do not go together"),
        (["--config=c.yaml", "--ckpt_path", "best", "a.cif"], "'a.cif' and --config do not"),
        (["-c", "c.yaml", "--data.seed=1", "a.cif"], "'a.cif' and --config do not"),
        (["--config", "c.yaml", "--model", "m"], "'--model' and --config do not go together"),
        (["--config", "c.yaml", "--model=m"], "'--model=m' and --config do not go together"),
        (["--config", "c.yaml", "--output", "m.csv"], "'--output' and --config do not go"),
        (["--config", "c.yaml", "--min-distance", "1"], "'--min-distance' and --config do not go"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_predict(SHIPPED, arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"crystal-toy predict: error: {message}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "c.yaml"],
        ["--config=c.yaml", "--ckpt_path", "best", "--data.seed=1"],
        ["-c", "c.yaml", "--trainer.devices", "2", "--data_root", "a"],
    ],
)
def test_a_config_is_given_to_the_trainer_as_it_is(arguments, monkeypatch):
    given = []
    monkeypatch.setattr(command, "main", lambda argv: given.append(argv) or 0)
    assert run_predict(SHIPPED, arguments) == 0
    assert given == [["predict", *arguments]]


@pytest.mark.parametrize("arguments", [["--help"], ["--config", "c.yaml", "--help"]])
def test_help_tells_of_both_uses(arguments, capsys):
    with pytest.raises(SystemExit, match="0"):
        run_predict(SHIPPED, arguments)
    printed = capsys.readouterr().out
    for option in ("INPUT", "--model", "--output", "--devices", "--on-disorder", "--config CONFIG"):
        assert option in printed
    assert "--ckpt_path" in printed


def test_inputs_may_stand_among_options():
    parser = CommandParser("toy", "A toy.")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--model")
    parsed = parser.parse(["a", "--model", "m", "b"])
    assert (parsed.paths, parsed.model) == (["a", "b"], "m")
