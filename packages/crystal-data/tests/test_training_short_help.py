"""What the short help names is right: each option is one of the parser's."""

import re
import subprocess
import sys

import pytest
import yaml

from crystal_data.training.command import main
from crystal_data.training.short_help import short_help


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_it_fits_a_screen_and_comes_without_torch(command):
    code = (
        "import sys; from crystal_data.training.command import main; "
        f"main(['{command}', '--config', 'x', '--help']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert "--help-all lists every option." in lines


@pytest.mark.parametrize("command", ["fit", "test"])
def test_every_option_is_taken(command, tmp_path, monkeypatch, capsys):
    """As the page spells them, with values in place of the words in capitals."""
    monkeypatch.chdir(tmp_path)
    words = {
        "PATH": "x",
        "FOLDER": "x",
        "NAME": "x",
        "CLASS": "toy.Net",
        "N": "2",
        "RATE": "0.1",
        "gpu;": "",
    }
    page = short_help(command).partition("\n\n")[2].replace("\\\n", " ")
    given = ["--data.source", "crystal_data.FileSource"]
    found = re.findall(r"(?<!`)(--[a-z][\w.]*\+?) ('[^']*'|\S+)", page)
    skipped = ("--help-all", "--print_config", "--model.model", "--model.model.NAME")
    for option, value in found:
        if option not in skipped:
            given += [option, words.get(value, value.strip("'"))]
    assert len(given) > 12
    base = ["--model", "crystal_data.training.PropertyModule", "--data", "CrystalDataModule"]
    model = ["--model.model", "crystal_data.testing.CrystalTensors"]
    with pytest.raises(SystemExit, match="0"):
        main([command, "--print_config", *base, *model, *given])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["ckpt_path"] in ("last", "x")
    if command == "fit":
        [stopping] = config["trainer"]["callbacks"]
        assert stopping["class_path"] == "lightning.pytorch.callbacks.EarlyStopping"
        assert stopping["init_args"]["patience"] == 20
        assert config["model"]["init_args"]["targets"] == "x"
        assert config["data"]["init_args"]["exclude"] == ["val", "test"]
