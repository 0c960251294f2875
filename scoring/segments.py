"""Which adapter scores a customer: the segment's own, else the shared one."""

from collections.abc import Mapping

from scoring.errors import NoAdapter

SHARED = "shared"
"""The name of the adapter that every segment without one of its own falls back to."""


def adapter_for(segment: str | None, champions: Mapping[str, str]) -> str:
    """Return the version that scores this segment; `champions` maps segment to live version.

    Raises `NoAdapter` where neither the segment nor `SHARED` has a live version.
    """
    if segment is not None and segment in champions:
        return champions[segment]
    if SHARED in champions:
        return champions[SHARED]
    raise NoAdapter(
        f"no adapter is live for segment {segment!r} and no shared one either; "
        "train them with `frugaldesk train` and publish them with `frugaldesk adapters publish`"
    )
