"""Where a record comes from: the day, and the commit of the clone that it is kept in."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path


def origin(folder: Path) -> dict[str, str]:
    """Day and commit of what is measured now.

    Args:
        folder: Of the records; changes in it do not count.

    Returns:
        ``date``, and ``commit``, which ends with ``-dirty`` if other files than records have
        changes; ``unknown`` outside of a clone.
    """
    commit = _git(folder, "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/", ":!.")
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"date": day, "commit": f"{commit}-dirty" if changed else commit}


def _git(folder: Path, *arguments: str) -> str:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
