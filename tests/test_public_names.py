"""What a package promises can be imported, and a type checker sees the same names."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "crystal_data": ROOT / "packages/crystal-data/src/crystal_data",
    "crystal_embed": ROOT / "packages/crystal-embed/src/crystal_embed",
    "crystal_gen": ROOT / "packages/crystal-gen/src/crystal_gen",
    "crystal_gan": ROOT / "packages/crystal-gan/src/crystal_gan",
    "crystal_relax": ROOT / "packages/crystal-relax/src/crystal_relax",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_all_exists(package: str) -> None:
    module = importlib.import_module(package)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


@pytest.mark.parametrize(("package", "folder"), PACKAGES.items())
def test_type_checkers_see_the_lazy_names(package: str, folder: Path) -> None:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    guarded = {
        alias.asname or alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    exports = importlib.import_module(package)._EXPORTS
    assert guarded == exports


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_root_stays_light(package: str) -> None:
    code = f"import sys, {package}; print(sorted({{'torch', 'lightning'}} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
