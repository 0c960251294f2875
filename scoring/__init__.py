"""Does this answer suit this customer?

The package's root stays light: importing it loads no torch. `scoring.scorer` and `scoring.training`
do, and are imported where they are used.
"""

from scoring.customer import Customer, Feature
from scoring.errors import ScoringError

__all__ = ["Customer", "Feature", "ScoringError"]
