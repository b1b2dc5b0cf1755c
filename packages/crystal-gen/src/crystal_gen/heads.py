"""The heads of attention that share the width of a token."""

from crystal_data.errors import InvalidArgumentError


def check_heads(width: int, num_heads: int) -> None:
    """Refuses numbers of heads that do not share a width.

    Args:
        width: Of a token.
        num_heads: Of attention.

    Raises:
        InvalidArgumentError: If the heads do not divide the width.
    """
    if num_heads < 1 or width % num_heads:
        raise InvalidArgumentError(
            f"{num_heads} heads do not divide the width {width}",
            "choose a number of heads that does",
        )
