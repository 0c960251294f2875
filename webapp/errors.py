"""Everything `webapp` raises on purpose, and how what it did not foresee is logged."""

import traceback


class WebappError(Exception):
    """Root of the package's errors; the message says what was got, expected, and what to do."""


class BadSettings(WebappError):
    """The environment, or a file it names, cannot be used as given."""


class BadKnowledge(WebappError):
    """A file of macros or passages holds a line that cannot be used."""


class NotReady(WebappError):
    """The service cannot answer tickets yet, or not any more; the message says why."""


class Refused(WebappError):
    """A person or a program asked for something the present state does not allow."""


class Unknown(WebappError):
    """What was named does not exist for this tenant."""


def places(exc: BaseException) -> str:
    """Return where an exception arose and its type; its message may quote a customer."""
    where = "".join(traceback.format_tb(exc.__traceback__))
    return f"{where}{type(exc).__name__}"
