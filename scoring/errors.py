"""Everything `scoring` raises on purpose."""


class ScoringError(Exception):
    """Root of the package's errors; the message says what was got, expected, and what to do."""


class BadCustomer(ScoringError):
    """A customer's profile holds a value that cannot be shown to the scorer."""


class BadExamples(ScoringError):
    """An examples file, or a set of examples, cannot be used as given."""


class BadEncoder(ScoringError):
    """The base encoder is missing, altered, or not a DistilBERT."""


class BadAdapter(ScoringError):
    """An adapter folder is missing, damaged, or made for another base encoder."""


class NoAdapter(ScoringError):
    """No adapter is live for the customer's segment and there is no shared one to fall back to."""
