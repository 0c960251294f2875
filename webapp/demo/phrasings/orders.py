"""Phrasings about orders on their way: cancelling, addresses, delays, express, invoices."""

from __future__ import annotations

from webapp.demo.phrasings.wording import Phrasing, wordings

CANCEL_ORDER = Phrasing(
    questions=wordings(
        train="""
Can I cancel my order?
I ordered the wrong {item}, please cancel it.
Is it still possible to cancel?
pls cancel my order asap
I no longer need the {item}. Can you stop the order?
I ordered twice by accident. Could you cancel one?
Please stop my order before it reaches me.
How do I cancel the {item} I ordered?
Found a better {item}, so I want to call the order off. Does that work?
Could you call off the delivery and refund me?
My plans changed and the trip is off. Can the order be cancelled?
Cancellation of my order, still doable?
hey, ordered the {item} by mistake. any chance to cancel
Would you please withdraw my order for the {item}?
""",
        heldout="""
I've thought again about the {item}. Can this order be called off?
Is there a way to halt my purchase before it gets to me?
Kindly annul my order for the {item} if you still can.
need to scrap the order with the {item}, am i too late
Will you let me back out of the order I placed?
Someone else already got me a {item}, please drop my order.
""",
    ),
    answers={
        "cancelled": wordings(
            train="""
Done, your order is cancelled.
Yes, we can still cancel it, and I've just done so.
No problem, I've stopped the order. You'll be refunded in full.
We caught it in time, the order won't reach you.
Your order has been called off and the payment is being returned.
Sure, cancelled!
Good that you wrote so quickly: cancelling is still possible and I have taken care of it.
I was able to stop the order for you.
It's not too late. The order is cancelled and you owe us nothing.
The cancellation went through.
Of course, I have withdrawn the order. The confirmation is in your inbox.
You don't need to do anything else, we called the order off.
We'll stop it and give your money back.
Consider it cancelled. The refund follows in a few days.
""",
            heldout="""
I have pulled the order for you, nothing will arrive.
We could still halt it, so your purchase is annulled and the money returns to you.
Sorted: the order no longer exists and you'll get a full refund.
Happy to say we were in time to call it off.
Your wish to back out is granted, the order's been dropped.
There's nothing more to pay or to receive, as I took the order out of the system.
""",
        ),
        "too_late": wordings(
            train="""
Unfortunately the order can no longer be cancelled.
It's too late to cancel, sorry.
We can't stop the order any more. You're welcome to return it instead.
I'm afraid cancelling isn't possible at this stage.
I'd be glad to help, but the order is past the point where we could cancel it.
No, it can't be cancelled now. Please use the normal return instead.
The order has gone too far to be called off.
Sadly we missed the moment: your order can't be withdrawn.
Yes, orders can be cancelled in general, yours however can't any longer.
A cancellation is out of the question by now, only a return would work.
We have no means to stop it at this point.
Thanks for letting us know. The cancellation was rejected because the order is already out of \
our hands.
Not possible any more, I'm sorry.
You would have to send it back as a return, since cancelling won't work.
""",
            heldout="""
There's no way for us to halt this order now.
I tried to pull it for you without success, so the purchase stands.
You're past the stage at which backing out is allowed. The ordinary return is your way out.
Of course I understand, but what has left us can't be annulled.
We have to turn down your wish to call it off.
The order remains valid; it could only have been dropped earlier.
""",
        ),
    },
)

ADDRESS_CHANGE = Phrasing(
    questions=wordings(
        train="""
Can you change the delivery address of my order?
I moved. Please send the {item} to my new address.
I typed the wrong house number. Can it be corrected?
wrong adress on my order, can u fix it?
Could the parcel go to my office instead?
Please deliver my order to my neighbour's address.
Is it still possible to update the shipping address?
I'd like my {item} sent to a different place.
My old flat is in the address of the order. Can you change that?
Can I redirect the parcel to a pickup point?
How do I edit the address on an order I've placed?
Will you be able to send it to my parents' house instead?
The postcode in my order is wrong, please correct it.
change of address for the {item} please, we are on holiday
""",
        heldout="""
I gave you an outdated street. Could my {item} be sent somewhere else?
May I have the order rerouted to another town?
There's a mistake in where you're shipping to. Can it be put right?
can my stuff go to a different door than the one i entered
I won't be home. Would you forward the delivery to my sister's place?
Please swap the destination of my order for my work location.
""",
    ),
    answers={
        "changed": wordings(
            train="""
I've changed the delivery address for you.
Yes, we can still update the address. Please send me the new one.
No problem, the parcel will go to your new address.
Sure, tell me where it should go and I'll redirect it.
The address has been corrected.
We can still redirect the order, so just reply with the full address.
It isn't too late to change where it's delivered. I have made the edit.
Of course! Your order will be delivered to the other place.
Your new address is saved for this order.
Consider it done, the shipment goes to the right street now.
I was able to fix the address in time.
Happy to reroute it. Which postcode is it?
Changing the destination is possible for your order and costs nothing.
Thanks for telling us, we'll deliver to the corrected address.
""",
            heldout="""
The destination has been switched as you asked.
We can reroute this delivery; give me street, number and town.
I've put the mistake right, so the courier will come to the other door.
Gladly, your order will find its way to the new place.
Where it ends up can still be altered, and I took care of that.
From now on this shipment is headed for your updated location.
""",
        ),
        "locked": wordings(
            train="""
Sorry, the address can't be changed any more.
I'm afraid we can't edit the delivery address of this order.
The address on this order is locked.
Unfortunately redirecting the parcel isn't possible.
No, we're not able to send it to another address.
I would like to help, but a new address can't be set for this order.
We can't correct the address now. The order keeps the one you entered.
Changing the destination is not allowed at this point.
It has to stay with the address given at checkout.
Thanks for the new address! I've saved it for future orders, this one can't be altered though.
We have to decline the change of address.
Sure, addresses can be edited in general, only not on your order as it stands.
That can't be redirected, sorry.
For this order an address update is refused by our system, and I can't override it.
""",
            heldout="""
There's no rerouting this one, it goes where you first told us.
I can't put a different destination on the order.
What you entered as street and town is final for this delivery.
We must refuse to forward it to some other place.
Happy to note your new home for next time, but this shipment's destination is fixed.
Altering where it ends up is beyond what we can do here.
""",
        ),
    },
)


INVOICE = Phrasing(
    questions=wordings(
        train="""
Can I pay by invoice?
Is payment on account possible for me?
I'd like to receive the goods first and pay the invoice later.
do you do invoices, i dont want to pay upfront
Could you switch my order to purchase on invoice?
Why is invoice not shown at checkout? Can I use it?
Am I allowed to buy on account?
I want to pay after delivery. Is that okay?
Please enable payment by invoice for my account.
Can you bill me for the {item} instead of charging my card?
Is it possible to order the {item} on invoice?
pay later by bank transfer, possible?
Do you offer me 30 days to pay on an invoice?
Would you let me settle the bill after I've got the {item}?
""",
        heldout="""
May I settle up after the {item} has come, on a bill?
Do you trust me with deferred payment?
I prefer to transfer the money once I hold the goods. Will you do that?
can u just send me a bill with the parcel
Is buying now and paying against a bill open to me?
Could you unlock billing on account for my next order?
""",
    ),
    answers={
        "allowed": wordings(
            train="""
Yes, you can pay by invoice.
Payment on account is enabled for you.
Of course, choose invoice at checkout and pay after delivery.
We're happy to send you an invoice.
No upfront payment needed, we'll bill you.
You are cleared for purchase on invoice.
Sure, I've switched your order to invoice.
Pay later is fine for your account.
Nothing speaks against an invoice. You have 30 days to pay.
I've unlocked invoice payment, you'll see it at checkout.
You can settle the bill after you've received the goods.
Invoice works for you.
Your account meets our conditions for buying on account.
We don't need your card, an invoice will come with the parcel.
""",
            heldout="""
Deferred payment is open to you, we enclose a bill.
We trust you with that: receive first, transfer afterwards.
Go ahead, your account may be billed.
I have activated billing, so you needn't pay in advance.
You're welcome to settle up once everything has arrived.
Buying now and paying against a bill is granted.
""",
        ),
        "declined": wordings(
            train="""
Sorry, we can't offer you payment by invoice at the moment.
Invoice isn't available for your account.
Unfortunately you can't buy on account right now. Please pay by card or PayPal.
No, paying later is not possible in your case.
We have to ask for payment upfront.
I'm happy to explain the options, but invoice isn't one of them for now.
Your account doesn't meet the conditions for purchase on invoice.
We can't send you an invoice yet. All other payment methods are open to you.
Payment on account has been declined for your order.
Not by invoice, I'm afraid.
I can't unlock invoice payment for you.
Yes, we have invoices, just not for your account as it is today.
Goods are shipped to you only once they're paid.
At present you are not eligible to pay after delivery.
""",
            heldout="""
Deferred payment isn't open to you, so please pay in advance.
We must turn down billing for the time being.
Receiving first and transferring afterwards is something we cannot grant you.
Thanks for your interest! Your account doesn't have clearance for a bill, though.
You would need to settle up before we ship.
Our system refuses to put your purchase on a bill.
""",
        ),
    },
)
