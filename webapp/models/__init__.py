"""Every table. Tenant data carries its tenant, in each unique key and each reference.

References between tenant tables run over (tenant_id, id), so the database itself refuses a row
that points into another tenant.
"""

from webapp.models.answering import (
    CacheEntry,
    LivePolicy,
    Macro,
    Passage,
    Policy,
    Suggestion,
    SuggestionStep,
    Ticket,
)
from webapp.models.base import (
    Base,
    Tenant,
    TenantRow,
    new_id,
    utc_now,
)
from webapp.models.learning import (
    Adapter,
    AdapterCustomer,
    Evaluation,
    Feedback,
    LiveAdapter,
    RegressionCase,
    Review,
    ShadowScore,
    TrainingRow,
    TrainingRun,
)
from webapp.models.people import (
    ApiKey,
    AuditEntry,
    Customer,
    Erasure,
    HistoryEntry,
    IdempotencyKey,
    User,
)

__all__ = [
    "Adapter",
    "AdapterCustomer",
    "ApiKey",
    "AuditEntry",
    "Base",
    "CacheEntry",
    "Customer",
    "Erasure",
    "Evaluation",
    "Feedback",
    "HistoryEntry",
    "IdempotencyKey",
    "LiveAdapter",
    "LivePolicy",
    "Macro",
    "Passage",
    "Policy",
    "RegressionCase",
    "Review",
    "ShadowScore",
    "Suggestion",
    "SuggestionStep",
    "Tenant",
    "TenantRow",
    "Ticket",
    "TrainingRow",
    "TrainingRun",
    "User",
    "new_id",
    "utc_now",
]
