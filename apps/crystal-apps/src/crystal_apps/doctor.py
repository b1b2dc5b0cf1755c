"""`crystal doctor`: what a bug report needs, and what is known not to work together."""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

_PACKAGES = (
    "crystal-data",
    "crystal-embed",
    "crystal-gen",
    "crystal-gan",
    "crystal-relax",
    "crystal-apps",
    "torch",
    "torchvision",
    "lightning",
    "jsonargparse",
    "torch-geometric",
    "torchmetrics",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pymatgen-core",
    "ase",
    "gemmi",
    "moyopy",
    "spglib",
    "smact",
    "scikit-learn",
    "safetensors",
)
_MALICIOUS_LIGHTNING = ("2.6.2", "2.6.3")


@dataclass(frozen=True)
class Finding:
    """Something worth knowing; a clash makes the command fail, a hint does not."""

    clash: bool
    what: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """What is installed and where; all strings, for people and for JSON."""

    python: str
    platform: str
    packages: dict[str, str]
    devices: list[str]
    threads: dict[str, str]
    homes: dict[str, str]
    findings: list[Finding] = field(default_factory=list)


def diagnose() -> Diagnosis:
    """Looks at this environment; changes nothing."""
    packages = _versions()
    homes = _homes()
    return Diagnosis(
        python=f"{platform.python_version()} at {sys.executable}",
        platform=platform.platform(),
        packages=packages,
        devices=_devices(),
        threads=_threads(),
        homes={name: f"{path} ({_access(path)})" for name, path in homes.items()},
        findings=[
            *version_findings(packages),
            *_home_findings(homes),
            *_command_findings(),
            *_compiler_findings(),
        ],
    )


def version_findings(packages: dict[str, str]) -> Iterator[Finding]:
    """Clashes between versions.

    Args:
        packages: Distribution to version, those that are installed.
    """
    for name in ("lightning", "pytorch-lightning"):
        if packages.get(name) in _MALICIOUS_LIGHTNING:
            yield Finding(
                True,
                f"{name} {packages[name]} was a malicious release",
                "treat this machine's credentials as stolen; pip install 'lightning>=2.6.4'",
            )
    jsonargparse = packages.get("jsonargparse", "")
    if jsonargparse and int(jsonargparse.split(".")[0]) >= 5:
        yield Finding(
            True,
            f"jsonargparse {jsonargparse} does not work with Lightning 2.6",
            "pip install 'jsonargparse[signatures]>=4.41,<5'",
        )
    torch, torchvision = packages.get("torch", ""), packages.get("torchvision", "")
    wanted = _torchvision_for(torch)
    if torchvision and wanted and not torchvision.startswith(wanted):
        yield Finding(
            True,
            f"torchvision {torchvision} was not built for torch {torch}, and Lightning imports it",
            f"pip install 'torchvision=={wanted}*', or pip uninstall torchvision: "
            "nothing here needs it",
        )


def _torchvision_for(torch: str) -> str:
    """Torchvision 0.N belongs to torch 2.(N - 15): so it has been since torch 2.0."""
    parts = torch.split(".")
    return f"0.{int(parts[1]) + 15}." if len(parts) > 1 and parts[0] == "2" else ""


def _versions() -> dict[str, str]:
    found = {}
    for name in (*_PACKAGES, "pytorch-lightning"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _devices() -> list[str]:
    import torch

    devices = [f"cpu: {platform.processor() or platform.machine()}, {os.cpu_count()} cores"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        devices.append(f"cuda:{index}: {properties.name}, {memory:.0f} GiB")
    if torch.backends.mps.is_available():
        devices.append("mps: Apple GPU")
    return devices


def _threads() -> dict[str, str]:
    import torch

    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "torch": str(torch.get_num_threads()),
        **{name: os.environ[name] for name in variables if name in os.environ},
    }


def _homes() -> dict[str, Path]:
    from crystal_data.sources import cache_home, data_home

    return {"CRYSTAL_DATA_HOME": data_home(), "CRYSTAL_CACHE_HOME": cache_home()}


def _access(path: Path) -> str:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir():
        return "not a folder"
    writable = "writable" if os.access(existing, os.W_OK) else "read-only"
    return writable if existing == path else f"not there yet, {writable}"


def _home_findings(homes: dict[str, Path]) -> Iterator[Finding]:
    cache = homes["CRYSTAL_CACHE_HOME"]
    if _access(cache).endswith(("read-only", "not a folder")):
        yield Finding(
            True,
            f"{cache}: stores of prepared crystals are kept there, and it cannot be written",
            "set CRYSTAL_CACHE_HOME to a folder of yours",
        )


def _command_findings() -> Iterator[Finding]:
    """The name ``lightning`` is ours only as long as nothing stands before it on the PATH."""
    found = shutil.which("lightning")
    ours = Path(sys.executable).parent
    if found is not None and Path(found).parent.resolve() != ours.resolve():
        yield Finding(
            True,
            f"the command lightning is {found}, not that of this environment ({ours})",
            "write crystal fit instead of lightning fit, or activate the environment",
        )
    elif found is not None and not _owns_lightning():
        yield Finding(
            True,
            f"the command lightning at {found} belongs to another package",
            "write crystal fit instead of lightning fit",
        )


def _owns_lightning() -> bool:
    """Whether the script was last installed by us; another package may have replaced it."""
    try:
        points = distribution("crystal-apps").entry_points
    except PackageNotFoundError:
        return False
    script = shutil.which("lightning")
    if script is None or not any(point.name == "lightning" for point in points):
        return False
    try:
        return "crystal_apps" in Path(script).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True  # a compiled launcher, as on Windows, cannot be looked into


def _compiler_findings() -> Iterator[Finding]:
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        yield Finding(
            False,
            "there is no C++ compiler, which torch.compile needs; nothing else does",
            "install one (Debian: apt install g++), or leave torch.compile off",
        )


def _print(diagnosis: Diagnosis) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("python", escape(diagnosis.python))
    table.add_row("platform", escape(diagnosis.platform))
    for group in (diagnosis.packages, diagnosis.homes):
        for name, value in group.items():
            table.add_row(name, escape(value))
    table.add_row("threads", ", ".join(f"{k} {v}" for k, v in diagnosis.threads.items()))
    for device in diagnosis.devices:
        table.add_row("device", escape(device))
    console.print(table)
    console.print()
    for finding in diagnosis.findings:
        word = "[bold red]clash[/]" if finding.clash else "[yellow]hint[/]"
        console.print(f"{word}  {escape(finding.what)}\n       {escape(finding.remedy)}")
    if not any(finding.clash for finding in diagnosis.findings):
        console.print("[green]no clashes[/]")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``crystal doctor``; 1 if something is known not to work."""
    parser = argparse.ArgumentParser(
        prog="crystal doctor",
        description="Print versions, devices and folders, and find what is known to clash. "
        "Exit status 1 if something does. Put the output into bug reports.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    diagnosis = diagnose()
    if options.json:
        print(json.dumps(asdict(diagnosis), indent=2))
    else:
        _print(diagnosis)
    return int(any(finding.clash for finding in diagnosis.findings))
