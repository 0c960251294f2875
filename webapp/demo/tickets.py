"""Tickets: past ones with the agent's reply, open ones waiting for an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from webapp.demo.chance import stream
from webapp.demo.examples import answer, ask
from webapp.demo.phrasings.other import UNANSWERED
from webapp.demo.policy import TOPICS, right_answer_is
from webapp.demo.records import DemoCustomer, DemoTicket

PAST_PER_TOPIC = 22
OPEN_PER_TOPIC = 11
PAST_UNANSWERED = 8
OPEN_UNANSWERED = 4
OPEN_DAYS = 10

_SUBJECTS = {
    "return_window": ("Return", "Return possible?", "Sending something back"),
    "return_shipping": ("Return label", "Cost of returning", "Return postage"),
    "faulty_item": ("Broken after a few uses", "Faulty product", "Defect"),
    "refund_method": ("My refund", "Question about refund", "Refund or credit?"),
    "cancel_order": ("Cancel order", "Please cancel", "Cancellation"),
    "address_change": ("New address", "Wrong address", "Change delivery address"),
    "invoice": ("Pay by invoice", "Payment question", "Invoice possible?"),
    "price_match": ("Cheaper elsewhere", "Price match", "Price guarantee"),
    "points": ("My points", "Redeem points", "Loyalty points"),
    "goodwill": ("Disappointed", "Not happy", "Compensation"),
    "repair_pickup": ("Repair", "Pickup for repair", "Repair service"),
}
_GREETINGS = ("Hi,", "Hello,", "Hello Fernweh team,", "Good morning,", "Dear team,", "Hey,", "")
_CONTEXT = (
    "It's about order {order}.",
    "My order number is {order}.",
    "I couldn't find the answer on your website.",
    "You can reach me at {email}.",
    "Please call me on {phone} if that's easier.",
    "I'm leaving on a trip soon, so a quick answer would help.",
    "Order {order}, in case you need it.",
    "",
    "",
)
_FAREWELLS = (
    "Thanks, {first}",
    "Best, {name}",
    "Kind regards, {name}",
    "Thank you!",
    "{first}",
    "",
)
_AGENTS = ("Mira", "Tom", "Aylin", "Jakob")
_REPLY_GREETINGS = ("Hi {first},", "Hello {first},", "Dear {name},", "Good morning {first},")
_REPLY_FAREWELLS = ("Best regards,\n{agent}", "Kind regards, {agent}", "Cheers, {agent}")


@dataclass(frozen=True)
class _Draft:
    customer: DemoCustomer
    subject: str
    body: str
    created_at: datetime
    reply: str | None = None
    replied_at: datetime | None = None


@dataclass(frozen=True)
class _Showpiece:
    """A hand-written open ticket and what its customer must be like."""

    segment: str
    subject: str
    body: str
    suits: Callable[[DemoCustomer], bool]


def _any(_customer: DemoCustomer) -> bool:
    return True


def _days_between(first: int, last: int) -> Callable[[DemoCustomer], bool]:
    return lambda customer: first <= customer.number("days_since_purchase") <= last


def _right(topic: str, stance: str) -> Callable[[DemoCustomer], bool]:
    return lambda customer: right_answer_is(topic, customer) == stance


# Newest first.
_SHOWCASE = (
    _Showpiece("gold", "Return", "Can I still return my jacket?", _days_between(20, 35)),
    _Showpiece("guest", "Return", "Can I still return my jacket?", _days_between(40, 150)),
    _Showpiece(
        "silver",
        "Address typo",
        "Hello, I mistyped my house number in order FW-48213, it should be 17 and not 71. "
        "Can you correct the delivery address? My number is +1-555-0142. Thanks!",
        _right("address_change", "changed"),
    ),
    _Showpiece(
        "bronze",
        "Sleeping bag for -10 °C?",
        "I'll be out at -10 °C in January and I always sleep cold. Which of your sleeping bags "
        "would you take, and with which mat?",
        _any,
    ),
    _Showpiece(
        "business",
        "Invoice",
        "We'd like to order twelve headlamps for our guides. Could you let us pay by invoice?",
        _right("invoice", "allowed"),
    ),
    _Showpiece(
        "silver",
        "return deadline",
        "hi, the tent is still in its bag. is my time for sending it back over or not?",
        _days_between(43, 50),
    ),
    _Showpiece(
        "gold",
        "Cancel please",
        "Sorry, I ordered the wrong stove! Can you still cancel it?",
        _right("cancel_order", "cancelled"),
    ),
    _Showpiece(
        "bronze",
        "Very disappointed",
        "The box was torn and nobody answered the phone. I think a goodwill voucher would be fair.",
        _right("goodwill", "had_one"),
    ),
    _Showpiece(
        "business",
        "Broken zip",
        "The zip of one tent broke on the second night. Do we get our money back, or do you want "
        "to repair it?",
        _right("faulty_item", "repair"),
    ),
    _Showpiece(
        "silver",
        "Points",
        "Do I have enough points for a discount on a new pair of boots?",
        _right("points", "redeem"),
    ),
    _Showpiece(
        "gold",
        "Complaint",
        "One of your colleagues in the store was really rude to my mother. I want to talk to the "
        "manager.",
        _any,
    ),
    _Showpiece(
        "bronze",
        "Refund",
        "I've sent back the shoes I got with a gift card. Do I get real money or store credit?",
        lambda customer: customer.text("payment_method") == "gift card",
    ),
    _Showpiece(
        "business",
        "Repair of our rental tents",
        "Three of our rental tents need a repair. Can a courier pick them up at our base?",
        _right("repair_pickup", "pickup"),
    ),
)


def build_tickets(
    customers: Sequence[DemoCustomer], *, seed: int, today: date
) -> tuple[DemoTicket, ...]:
    """All tickets, oldest first; the showcase is the newest."""
    random = stream("tickets", seed)
    midnight = datetime.combine(today, time(), tzinfo=UTC)
    drafts = _past(customers, midnight, random) + _open(customers, midnight, random)
    drafts.sort(key=lambda draft: draft.created_at)
    drafts += _showcase(customers, midnight, random)
    return tuple(
        DemoTicket(
            external_id=f"T-{number}",
            customer_id=draft.customer.external_id,
            subject=draft.subject,
            body=draft.body,
            created_at=draft.created_at,
            reply=draft.reply,
            replied_at=draft.replied_at,
        )
        for number, draft in enumerate(drafts, start=1)
    )


def _past(customers: Sequence[DemoCustomer], midnight: datetime, random: Random) -> list[_Draft]:
    train = [customer for customer in customers if not customer.held_out]
    drafts = []
    for topic in TOPICS:
        for _ in range(PAST_PER_TOPIC):
            customer = random.choice(train)
            core = answer(topic.name, topic.right_stance(customer), "train", random)
            draft = _about(topic.name, customer, _moment(midnight, 11, 75, random), random)
            drafts.append(_replied(draft, core, random))
    for texts in UNANSWERED.values():
        for _ in range(PAST_UNANSWERED):
            index = random.randrange(len(texts.replies))
            moment = _moment(midnight, 11, 75, random)
            draft = _wrapped(
                random.choice(train),
                random.choice(texts.subjects),
                texts.bodies[index],
                moment,
                random,
            )
            drafts.append(_replied(draft, texts.replies[index], random))
    return drafts


def _open(customers: Sequence[DemoCustomer], midnight: datetime, random: Random) -> list[_Draft]:
    drafts = []
    for topic in TOPICS:
        for _ in range(OPEN_PER_TOPIC):
            moment = _moment(midnight, 2, OPEN_DAYS, random)
            drafts.append(_about(topic.name, random.choice(customers), moment, random))
    for texts in UNANSWERED.values():
        for _ in range(OPEN_UNANSWERED):
            moment = _moment(midnight, 2, OPEN_DAYS, random)
            subject, body = random.choice(texts.subjects), random.choice(texts.bodies)
            drafts.append(_wrapped(random.choice(customers), subject, body, moment, random))
    return drafts


def _showcase(
    customers: Sequence[DemoCustomer], midnight: datetime, random: Random
) -> list[_Draft]:
    """The hand-written tickets, half an hour apart, each with another customer; oldest first."""
    drafts: list[_Draft] = []
    taken: list[str] = []
    for index, piece in enumerate(_SHOWCASE):
        suitable = [
            customer
            for customer in customers
            if customer.segment == piece.segment
            and customer.external_id not in taken
            and piece.suits(customer)
        ]
        customer = random.choice(suitable)
        taken.append(customer.external_id)
        moment = midnight - timedelta(hours=6, minutes=31 * index)
        drafts.append(_Draft(customer, piece.subject, piece.body, moment))
    return drafts[::-1]


def _moment(midnight: datetime, fewest: int, most: int, random: Random) -> datetime:
    """Some time of day, `fewest` to `most` days before a midnight."""
    return midnight - timedelta(minutes=random.randint((fewest - 1) * 1440 + 1, most * 1440))


def _about(topic: str, customer: DemoCustomer, moment: datetime, random: Random) -> _Draft:
    subject, question = random.choice(_SUBJECTS[topic]), ask(topic, "train", random)
    return _wrapped(customer, subject, question, moment, random)


def _wrapped(
    customer: DemoCustomer, subject: str, core: str, moment: datetime, random: Random
) -> _Draft:
    """A ticket with its core and, now and then, a greeting, some context and a farewell."""
    parts = (
        random.choice(_GREETINGS),
        core,
        random.choice(_CONTEXT),
        random.choice(_FAREWELLS),
    )
    text = "\n".join(part for part in parts if part)
    return _Draft(customer, subject, _filled(text, customer, random), moment)


def _replied(draft: _Draft, core: str, random: Random) -> _Draft:
    """The ticket with an agent's reply a few hours later."""
    parts = (random.choice(_REPLY_GREETINGS), core, random.choice(_REPLY_FAREWELLS))
    shell = "\n\n".join(parts)
    reply = _filled(shell, draft.customer, random)
    replied_at = draft.created_at + timedelta(minutes=random.randint(5, 900))
    return _Draft(draft.customer, draft.subject, draft.body, draft.created_at, reply, replied_at)


def _filled(text: str, customer: DemoCustomer, random: Random) -> str:
    """The text with names, an order number and contact data of the invented customer."""
    return text.format(
        name=customer.name,
        first=customer.name.split()[0],
        email=customer.email,
        phone=f"+1-555-01{random.randint(0, 99):02d}",
        order=f"FW-{random.randint(40000, 59999)}",
        agent=random.choice(_AGENTS),
    )
