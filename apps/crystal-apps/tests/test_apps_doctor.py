"""What `crystal doctor` finds, and how it answers."""

import json
import os
import stat
from pathlib import Path

import pytest

from crystal_apps.doctor import diagnose, main, version_findings


@pytest.fixture(autouse=True)
def _own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTAL_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", "/usr/bin")


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ({"lightning": "2.6.3"}, "malicious"),
        ({"pytorch-lightning": "2.6.2"}, "malicious"),
        ({"jsonargparse": "5.0.1"}, "jsonargparse 5.0.1"),
        ({"torch": "2.9.1+cpu", "torchvision": "0.20.0"}, "torchvision==0.24."),
    ],
)
def test_known_clashes(packages: dict[str, str], expected: str) -> None:
    (finding,) = version_findings(packages)
    assert finding.clash
    assert expected in f"{finding.what} {finding.remedy}"


def test_versions_that_fit_are_no_clash() -> None:
    good = {
        "lightning": "2.6.6",
        "jsonargparse": "4.53.0",
        "torch": "2.9.1",
        "torchvision": "0.24.1+cpu",
    }
    assert list(version_findings(good)) == []


def test_this_environment_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"torch", "lightning", "pymatgen-core", "crystal-data"} <= set(found["packages"])
    assert found["devices"][0].startswith("cpu")
    assert "not there yet, writable" in found["homes"]["CRYSTAL_CACHE_HOME"]


def test_this_environment_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "torch" in out
    assert "no clashes" in out


def test_another_lightning_command_is_a_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "lightning"
    script.write_text("#!/bin/sh\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin")
    findings = [f for f in diagnose().findings if f.clash]
    assert [str(script) in f.what for f in findings] == [True]
    assert main(["--json"]) == 1


def test_a_cache_that_cannot_be_written_is_a_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystal_apps.doctor.os.access", lambda path, mode: False)
    assert any("CRYSTAL_CACHE_HOME" in f.remedy for f in diagnose().findings if f.clash)
