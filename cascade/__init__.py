"""What answer do we give? The cheapest model first, the next one only if the score is too low.

The scorer arrives as an argument, so importing this package loads no torch.
"""

from cascade.answering import Accepted, Escalated, Scored, Step, answer
from cascade.breaker import Breaker
from cascade.cache import Cache
from cascade.chat import AnthropicMessages, OpenAIChat
from cascade.deadline import Deadline
from cascade.errors import CascadeError, ProviderError
from cascade.macros import Macro, Macros
from cascade.policy import Budgets, Policy, Tier
from cascade.pricing import Price, PriceTable, Usage
from cascade.providers import DraftRequest, Drafts, Provider
from cascade.redaction import Redactor, redact
from cascade.simulated import Simulated
from cascade.ticket import Messages, Passage, Ticket, prompt_messages
from cascade.upstream import Retry, Timeouts

__all__ = [
    "Accepted",
    "AnthropicMessages",
    "Breaker",
    "Budgets",
    "Cache",
    "CascadeError",
    "Deadline",
    "DraftRequest",
    "Drafts",
    "Escalated",
    "Macro",
    "Macros",
    "Messages",
    "OpenAIChat",
    "Passage",
    "Policy",
    "Price",
    "PriceTable",
    "Provider",
    "ProviderError",
    "Redactor",
    "Retry",
    "Scored",
    "Simulated",
    "Step",
    "Ticket",
    "Tier",
    "Timeouts",
    "Usage",
    "answer",
    "prompt_messages",
    "redact",
]
