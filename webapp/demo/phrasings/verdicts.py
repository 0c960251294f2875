"""How an agent says yes or no before saying what exactly: the same words under every topic."""

from __future__ import annotations

from webapp.demo.phrasings.wording import Wordings, wordings

YES = wordings(
    train="""
    Good news!
    Yes.
    Yes, gladly.
    Of course.
    You're in luck.
    I'm happy to confirm this for you.
    Yes, that's possible.
    Sure, no problem.
    The answer is yes.
    Great news for you:
    That works.
    Absolutely.
    """,
    heldout="""
    Certainly.
    I can gladly confirm this.
    Yes indeed, this is possible.
    It's a yes from us.
    Luckily that is no problem.
    Sure thing!
    """,
)
NO = wordings(
    train="""
    Unfortunately not.
    I'm sorry, but no.
    I'm afraid that isn't possible.
    Sorry, we can't do that.
    Sadly not.
    No, I'm sorry.
    I have to say no here.
    Bad news, I'm afraid.
    The answer is no, unfortunately.
    We can't offer that in your case.
    That's not possible, sorry.
    I regret that we have to decline.
    """,
    heldout="""
    Regrettably no.
    I'm sorry, this can't be done.
    Unfortunately we have to decline.
    It's a no from us, sorry.
    I'm afraid I have to disappoint you.
    Sorry, that is not possible.
    """,
)

GRANTS = frozenset(
    {
        ("return_window", "open"),
        ("return_shipping", "free"),
        ("cancel_order", "cancelled"),
        ("address_change", "changed"),
        ("faulty_item", "refund"),
        ("price_match", "match"),
        ("refund_method", "original"),
        ("points", "redeem"),
        ("invoice", "allowed"),
        ("goodwill", "voucher"),
        ("repair_pickup", "pickup"),
    }
)


def verdicts(topic: str, stance: str) -> Wordings:
    """The words of yes or of no that an answer of this stance may begin with."""
    return YES if (topic, stance) in GRANTS else NO
