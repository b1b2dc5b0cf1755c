"""Models that ship, found by their names alone, whatever package they are in."""

from collections import Counter
from pathlib import Path

import pytest

from crystal_data.artifacts.registry import ArtifactError
from crystal_data.artifacts.shipped import announced_artifacts, find_artifact

PACKAGES = Path(__file__).parents[1] / "packages"


def test_all_are_found_and_no_two_have_one_name():
    files = list(PACKAGES.glob("*/src/*/pretrained/*/config.json"))
    names = Counter(file.parent.name for file in files)
    assert max(names.values()) == 1
    assert announced_artifacts() == {file.parent.name: file.parent for file in files}


def test_a_name_a_folder_of_that_name_and_what_is_neither(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_artifact("repair-mp20")
    assert Path(found, "model.safetensors").is_file()
    Path("repair-mp20").mkdir()
    assert find_artifact("repair-mp20") == "repair-mp20"
    assert find_artifact("owner/name") == "owner/name"
    assert find_artifact("runs/none") == "runs/none"
    with pytest.raises(ArtifactError, match="did you mean 'equiformer-band-gap'"):
        find_artifact("equiformer-bandgap")
