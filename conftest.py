"""Settings that every test shares."""

import os

import pytest

# Tests run side by side: one thread each keeps them from fighting for the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Commands print tables; a fixed width keeps what tests read the same on every terminal.
os.environ.setdefault("COLUMNS", "120")
# Where it is set, output that is kept back looks like output that is written.
os.environ.pop("PYTHONUNBUFFERED", None)


@pytest.fixture(autouse=True, scope="session")
def _no_signs_of_life() -> None:
    """What tests read of standard error does not depend on how fast the machine is."""
    from crystal_data.processes import progress

    progress.FIRST_SIGN = 3600.0


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stores go to a folder of this run, never to the user's cache.

    The processes of ``pytest -n`` share it, so that each store is built once: builds have a lock.
    """
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    os.environ["CRYSTAL_CACHE_HOME"] = str(run / "cache")
