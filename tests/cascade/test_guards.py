"""The guards: pairs of questions an embedding finds alike, and whether one answer fits both."""

import time

import pytest

from cascade.guards import differs

DIFFERENT = [
    ("How do I turn on notifications?", "How do I turn off notifications?"),
    ("How do I turn my alerts on?", "How do I turn my alerts off?"),
    ("How can I switch the sensor on", "How can I switch the sensor off"),
    ("How do I opt in to emails?", "How do I opt out of emails?"),
    ("I can't log in to my account", "I can't log out of my account"),
    ("Where do I sign in?", "Where do I sign out?"),
    ("Where do I sign in?", "Where do I sign up?"),
    ("How do I enable two-factor?", "How do I disable two-factor?"),
    ("How do I activate my card?", "How do I deactivate my card?"),
    ("How do I subscribe to the newsletter?", "How do I unsubscribe from the newsletter?"),
    ("I want to cancel my subscription", "I want to reactivate my subscription"),
    ("Please cancel my membership", "Please renew my membership"),
    ("Can I cancel my plan?", "Can I pause my plan?"),
    ("When does my trial start?", "When does my trial end?"),
    ("How do I open an account?", "How do I close an account?"),
    ("How do I add a payment card?", "How do I remove a payment card?"),
    ("Can I change it before delivery?", "Can I change it after delivery?"),
    ("Can I upgrade my plan?", "Can I downgrade my plan?"),
    ("Why did my bill increase?", "Why did my bill decrease?"),
    ("Is shipping free above the limit?", "Is shipping free below the limit?"),
    ("Why was my claim approved?", "Why was my claim denied?"),
    ("How do I deposit money?", "How do I withdraw money?"),
    ("When will I be charged?", "When will I be refunded?"),
    ("Can I get a refund for my shoes?", "Can I get an exchange for my shoes?"),
    ("Can I return my shoes?", "Can I keep my shoes?"),
    ("How do I unlock my phone?", "How do I lock my phone?"),
    ("How do I connect the speaker?", "How do I disconnect the speaker?"),
    ("Can I return opened software?", "Can I return unopened software?"),
    ("Can I send back used towels?", "Can I send back unused towels?"),
    ("Is this ticket refundable?", "Is this ticket non-refundable?"),
    ("How do I show my wish list?", "How do I hide my wish list?"),
    ("Do you ship domestic parcels?", "Do you ship international parcels?"),
    ("Is the monthly plan cheaper?", "Is the yearly plan cheaper?"),
    ("Can I pay by credit card?", "Can I pay by debit card?"),
    ("Can I wear it before I return it?", "Do I have to wear it before I return it?"),
    ("How do I upload my invoice?", "How do I download my invoice?"),
    ("Is the app available here?", "Is the app unavailable here?"),
    ("Can I switch from gold to silver?", "Can I switch from silver to gold?"),
    ("Can I have red instead of blue?", "Can I have blue instead of red?"),
    ("I can return it", "I can't return it"),
    ("I can return it", "I cannot return it"),
    ("Can I return it?", "Can’t I return it?"),
    ("My parcel has arrived", "My parcel hasn't arrived"),
    ("I do want a receipt", "I dont want a receipt"),
    ("I get your emails", "I no longer get your emails"),
    ("I never got the parcel", "I got the parcel"),
    ("Can I return it with a receipt?", "Can I return it without a receipt?"),
    ("I am able to pay online", "I am unable to pay online"),
    ("It was charged but not shipped", "It was shipped but not charged"),
    ("The order isn't damaged", "The order is damaged"),
    ("The order works", "The order does not work"),
    ("Nothing was delivered", "It was delivered"),
    ("Can I return it after 30 days?", "Can I return it after 45 days?"),
    ("Can I return it within two weeks?", "Can I return it within three weeks?"),
    ("I ordered two jackets", "I ordered 3 jackets"),
    ("I was charged twice", "I was charged"),
    ("I want to return one item", "I want to return five items"),
    ("Is there a fee of 1,000?", "Is there a fee of 10,000?"),
    ("Is there a fee of 1.50?", "Is there a fee of 150?"),
    ("This is my first order", "This is my third order"),
    ("Will it arrive on March 2?", "Will it arrive on March 3?"),
    ("Will it arrive in March?", "Will it arrive in April?"),
    ("I ordered on 2026-03-02", "I ordered on 2026-04-02"),
    ("Will it come on Monday?", "Will it come on Tuesday?"),
    ("Will it come today?", "Will it come tomorrow?"),
    ("My order from last week", "My order from last month"),
    ("Where is order #48213?", "Where is order #48231?"),
    ("Where is ORD-2291?", "Where is ORD-2292?"),
    ("Is SKU AB-1234 in stock?", "Is SKU AB-1235 in stock?"),
    ("Does it fit the S22?", "Does it fit the S23?"),
    ("Do you have it in 4G?", "Do you have it in 5G?"),
    ("Send it to ann@example.com", "Send it to bob@example.com"),
    ("Do I pay in euros?", "Do I pay in dollars?"),
    ("Is there a €5 fee?", "Is there a $5 fee?"),
    ("Do I get 10% off?", "Do I get $10 off?"),
    ("How can I cancel my order?", "Wie kann ich meine Bestellung stornieren?"),
    ("Where is my order and when will it come?", "Où est ma commande et quand est-ce que"),
    ("Where is my order?", "Где мой заказ?"),
    ("Where is my order?", "注文はどこですか"),
    ("Ich möchte das nicht zurückgeben", "Ich möchte das zurückgeben"),
    ("Can a courier collect my tent?", "Can a courier bring back my tent?"),
    ("Do you pick up repairs at home?", "Do you drop off repairs at home?"),
    ("I want to spend my points", "I want to collect points"),
    ("Can I pay by invoice?", "Can I avoid paying by invoice?"),
    ("Is the return free?", "Is the delivery free?"),
    ("Can you change my address?", "Why did you change my address?"),
    ("Will you send me a label?", "Should I send you a label?"),
    ("Do I have to pay for the label?", "Do you have to pay me for the label?"),
    ("I gave the wrong address, correct it", "You gave the wrong address, correct it"),
    ("Could you meet a competitor's price?", "Could a competitor meet your price?"),
    ("Can you do something about it?", "Can I do something about it?"),
    ("Can your van come to me?", "Can I come to your van?"),
    ("Can my order go to my new address?", "Can my order come from my new address?"),
    ("Will you bring it for the workshop?", "Will you bring it from the workshop?"),
    ("Can I still cancel the order I placed?", "Can I still place the order I cancelled?"),
    ("I want to stop the order before it ships", "I want the stopped order to ship"),
    ("Please cancel my order", "Please cancel the cancellation of my order"),
    ("Am I too late to return my tent?", "Am I too late to undo the return of my tent?"),
    ("May I exchange points for money off?", "May I exchange money for points?"),
    ("Make up for the late parcel with a coupon", "Make up for the coupon with a late parcel"),
    ("Have I gathered enough points to use them?", "Have I used enough points to gather them?"),
    ("I'd rather pay by invoice than by card", "I'd rather pay by card than by invoice"),
    ("I'd rather pay by invoice", "I'd rather be paid by invoice"),
    ("I am disappointed and want a voucher", "I am disappointed by a voucher"),
    ("Are my rewards ready to be used?", "Are my rewards used up?"),
    ("Can I send my tent back?", "Can I return my stove?"),
]

ALIKE = [
    ("Can I still return my jacket?", "Could I send back the jacket I bought?"),
    ("How do I turn on notifications?", "How can I switch notifications on?"),
    ("How do I cancel my subscription?", "I want to cancel my plan, how?"),
    ("Where is my order?", "where is my   ORDER"),
    ("Where is my parcel?", "I would like to know where my parcel is"),
    ("Can I return it within two weeks?", "Can I return it within 2 weeks?"),
    ("I have twenty-one items", "I have 21 items"),
    ("It cost three hundred", "It cost 300"),
    ("Is there a fee of 1,000?", "Is there a fee of 1000?"),
    ("Can I return the blue one?", "Can I return the blue jacket?"),
    ("Will it arrive on March 2?", "Will it arrive by 2nd of March?"),
    ("Where is order #48213?", "Where is my order 48213?"),
    ("Where is ORD-2291?", "where is ord2291"),
    ("I can't log in", "I cannot log in"),
    ("I don't want it anymore", "I do not want it any more"),
    ("My parcel hasn't arrived", "My parcel has not arrived yet"),
    ("Do I pay in €?", "Do I pay in euros?"),
    ("May I bring my dog?", "Can I bring my dog?"),
    ("Not only late but broken too", "Late and broken too"),
    ("Can I pay once it has arrived?", "May I pay when it is delivered?"),
    ("Will you refund my stove?", "Will you pay me back for the stove?"),
    ("How do I reset my password?", "How can I reset the password of my account?"),
    ("Wie kann ich meine Bestellung ändern?", "Wie ändere ich meine Bestellung?"),
    ("Please cancel my order", "Could you call my order off?"),
    ("I want to stop the order", "I want the order stopped, please"),
    ("Can you change my address?", "Can I change my address?"),
    ("Can a courier collect my tent?", "Could a driver pick up my tent?"),
    ("Do I get my money back for the stove?", "Can I have a refund for the stove?"),
    ("Can I return the parka?", "Is it possible to send the parka back?"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_questions_are_told_apart(one: str, other: str) -> None:
    assert differs(one, other) is not None
    assert differs(other, one) is not None


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_the_same_question_in_other_words_passes(one: str, other: str) -> None:
    assert differs(one, other) is None
    assert differs(other, one) is None


def test_a_question_is_itself() -> None:
    for pair in DIFFERENT:
        for question in pair:
            assert differs(question, question.upper()) is None


def test_reasons_quote_no_question() -> None:
    reason = differs("Where is order #48213, Ann?", "Where is order #48231, Ann?")
    assert reason == "they name different orders, products or addresses"


@pytest.mark.parametrize("text", ["", "?", "1", "a-", "1-", "a.", "no ", "#", "turn a ", "may 1 "])
def test_any_text_is_read_in_time(text: str) -> None:
    started = time.process_time()
    for times in (1, 300, 100_000):
        differs(text * times, "Where is my order?")
    assert time.process_time() - started < 1


def test_what_is_too_long_is_never_alike() -> None:
    assert differs("Where is it? " * 200, "Where is it?") == "one is too long to be compared"
