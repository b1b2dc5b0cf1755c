"""Code in the documentation runs: Python and shell blocks, each page in a folder of its own.

A shell block whose first line is ``# not run here: reason`` is left out. Pages with blocks to run
are slow: each block is a process, and many of them train.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*/*/README.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and code of every block that is meant to run, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (language, code)
        for language, code in found
        if language in {"python", "bash"} and not code.startswith("# not run here: ")
    ]


def as_param(page: Path) -> Any:
    marks = [pytest.mark.slow] if blocks(page) else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [as_param(page) for page in PAGES])
def test_code_runs(page: Path, tmp_path: Path) -> None:
    # Commands are those of this environment.
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for language, code in blocks(page):
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        output = (done.stdout + done.stderr)[-4000:]
        assert done.returncode == 0, f"{page.relative_to(ROOT)}:\n{code}\n{output}"


def test_links_lead_somewhere() -> None:
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http") and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert not missing
