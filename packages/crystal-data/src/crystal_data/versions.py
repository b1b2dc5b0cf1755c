"""Versions of the libraries that a result depends on."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = (
    "crystal-data",
    "numpy",
    "scipy",
    "torch",
    "lightning",
    "torch-geometric",
    "pymatgen-core",
    "moyopy",
    "spglib",
    "smact",
)


def library_versions(names: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of those libraries that are installed, without importing them."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
