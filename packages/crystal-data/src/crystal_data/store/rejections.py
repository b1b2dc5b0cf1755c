"""Says what a build has left out, or refuses the source for it."""

from pathlib import Path

from crystal_data.errors import OnInvalid, Reason, Rejection, SourceError
from crystal_data.io.options import OnDisorder
from crystal_data.io.rejected import read_rejected
from crystal_data.processes.progress import say
from crystal_data.store.store import CrystalStore

_NAMED_IN_ERROR = 5


class InvalidSourceError(SourceError):
    """A source with structures that cannot be used, opened with ``on_invalid="error"``.

    Args:
        message: What is wrong.
        remedy: What the user can do.
        rejected_path: The table of all of them.
    """

    def __init__(self, message: str, remedy: str, rejected_path: Path) -> None:
        super().__init__(message, remedy)
        self.rejected_path = rejected_path


def report_rejected(
    store: CrystalStore, path: Path, on_invalid: OnInvalid, on_disorder: OnDisorder
) -> None:
    """Prints how many structures were left out, or raises.

    Args:
        store: What is left.
        path: Its ``rejected.csv``.
        on_invalid: ``"error"`` raises if there are any.
        on_disorder: ``"skip"`` allows disordered ones to be among them.

    Raises:
        InvalidSourceError: If any was left out that must not be, or nothing is left.
    """
    name, left_out = store.metadata["source"], store.metadata["rejected"]
    total = left_out + len(store)
    if total == 0:
        raise InvalidSourceError(f"{name}: the source holds no structures at all", "", path)
    if left_out == 0:
        return
    rejected = read_rejected(path)
    refused = [one for one in rejected if on_disorder != "skip" or one.reason != Reason.DISORDERED]
    if len(store) == 0:
        remedy = "not one structure is left, so mend the files"
        raise InvalidSourceError(_refusal(name, rejected, total, path), remedy, path)
    if refused and on_invalid == "error":
        remedy = "mend the files, or leave them out with on_invalid='skip' (--data.on_invalid skip)"
        raise InvalidSourceError(_refusal(name, refused, total, path), remedy, path)
    say(f"{name}: {left_out} of {total} structures left out, see {path}")


def _refusal(name: str, refused: list[Rejection], total: int, path: Path) -> str:
    lines = [f"{name}: {len(refused)} of {total} structures cannot be used:"]
    for one in refused[:_NAMED_IN_ERROR]:
        lines.append(f"  {one.identifier} ({one.file or name}): {one.detail} [{one.reason}]")
    if len(refused) > _NAMED_IN_ERROR:
        lines.append(f"  and {len(refused) - _NAMED_IN_ERROR} more")
    return "\n".join([*lines, f"all of them are listed in {path}"])
