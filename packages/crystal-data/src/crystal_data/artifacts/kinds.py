"""What an artifact can be, the base model it may need, and the names of its extra files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from crystal_data.artifacts.files import CARD, CONFIG, METADATA, WEIGHTS
from crystal_data.artifacts.registry import ArtifactError

ArtifactKind = Literal["model", "adapter", "element_table", "template_library"]
KINDS: tuple[ArtifactKind, ...] = get_args(ArtifactKind)
# A library of templates may consist of extra files alone.
WITHOUT_WEIGHTS: frozenset[ArtifactKind] = frozenset({"template_library"})

RESERVED = (WEIGHTS, CONFIG, METADATA, CARD)
# No part begins or ends with a dot, so none is '.' or '..'; no space, backslash, colon or '*'.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+-])?"
_FILE_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST_NAME = 200
_BASE_ID = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The published model that an artifact was trained from, or that an adapter belongs to.

    Args:
        id: ``owner/name`` on the hub, or the name of a local one.
        revision: Commit on the hub (40 hexadecimal digits), or the SHA-256 of a local model's
            weights (64). Never a branch such as ``main``, which moves.
        license: License of the base model, such as ``MIT``.

    Raises:
        ArtifactError: If one of them is missing or of another form.
    """

    id: str
    revision: str
    license: str

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _BASE_ID.fullmatch(self.id):
            raise ArtifactError(f"base model: the id is {self.id!r:.100}, expected owner/name")
        if not isinstance(self.revision, str) or not _REVISION.fullmatch(self.revision):
            raise ArtifactError(
                f"base model {self.id}: the revision is {self.revision!r:.100}, expected a commit "
                "(40 hexadecimal digits) or the SHA-256 of the weights (64)"
            )
        if not isinstance(self.license, str) or not self.license.strip():
            raise ArtifactError(f"base model {self.id}: the license is {self.license!r:.100}")


def check_kind(kind: Any) -> None:
    """Raises unless artifacts of this kind are known.

    Raises:
        ArtifactError: With the nearest kind, or all of them.
    """
    if kind not in KINDS:
        near = get_close_matches(str(kind), KINDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(KINDS)}"
        raise ArtifactError(f"there is no kind of artifact {kind!r:.50}; {hint}")


def check_found_kind(
    config: Mapping[str, Any], expected: ArtifactKind | None, folder: Path
) -> None:
    """Raises unless an artifact is of a kind that is known and asked for.

    Args:
        config: Content of its ``config.json``.
        expected: What is asked for; None for any.
        folder: The artifact, for messages.

    Raises:
        ArtifactError: If it is of another kind.
        KeyError: If the config is not complete.
    """
    kind, holder = config["kind"], f"{config['package']!s:.50}.{config['class_name']!s:.50}"
    if kind not in KINDS:
        raise ArtifactError(
            f"{folder}: an artifact of the kind {kind!r:.50}; this version knows "
            f"{', '.join(KINDS)}",
            "upgrade crystal-data",
        )
    if expected is not None and kind != expected:
        raise ArtifactError(
            f"{folder}: {with_article(kind)} ({holder}), not {with_article(expected)}",
            f"{holder}.from_pretrained loads it",
        )


def with_article(kind: ArtifactKind) -> str:
    """A kind as a sentence has it, such as ``an element table``."""
    words = kind.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def is_file_name(name: Any) -> bool:
    """Whether a name is a plain relative one, with ``/`` between folders."""
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and bool(_FILE_NAME.fullmatch(name))


def check_extra_files(files: Mapping[Any, Any]) -> None:
    """Raises unless these extra files can lie in one folder, on every system.

    Raises:
        ArtifactError: If a name is not plain and relative, or taken already, or a content is not
            bytes.
    """
    # Some file systems do not tell capital letters from small ones.
    taken = {name.casefold() for name in RESERVED}
    for name, content in files.items():
        if not is_file_name(name):
            raise ArtifactError(
                f"{name!r:.100} is no name of an extra file: letters, digits, '_', '-', '+' and "
                "'.', with '/' between folders, and no part begins or ends with a dot"
            )
        if name.casefold() in taken:
            raise ArtifactError(f"an extra file cannot be named '{name}'; that name is taken")
        if not isinstance(content, bytes):
            raise ArtifactError(f"extra file '{name}' is {content!r:.50}, expected bytes")
        taken.add(name.casefold())
    for name in taken:
        for folder in PurePosixPath(name).parents:
            if str(folder) in taken:
                raise ArtifactError(f"'{folder}' is a file and the folder of '{name}'")
