"""Phrasings about returns, refunds, exchanges and faulty goods."""

from __future__ import annotations

from webapp.demo.phrasings.wording import Phrasing, wordings

RETURN_WINDOW = Phrasing(
    questions=wordings(
        train="""
Can I still return my {item}?
Is it too late to send the {item} back?
I'd like to give back the {item} I bought, is that still possible?
hi, am i still in time for a return??
How long do I have to return something, and has that passed for my order?
I changed my mind about the {item}. Do you still take it back?
The {item} has never been worn. Would you accept it as a return today?
can u take back a {item} that i dont need anymore
My partner bought me the same {item}, so I want to hand mine back. Does that still work?
Has my return period run out?
Would a return of the {item} still go through?
I left the {item} in its box for a while. Did I miss the deadline for sending it back?
Wondering whether I can get my money back on an unused {item}, I simply don't like it.
Return still ok for my {item}? Tags are on.
Please tell me if the return window for my purchase is open.
I've decided against the {item}; may I return it now?
""",
        heldout="""
The {item} isn't for me after all. Are returns for this order still accepted?
Is there any time left to bring back my {item}?
Do I have a right to hand the unused {item} back at this point?
i never opened the {item}, can it go back to you or am i past the cut off
Turns out I don't need the {item}. Could you tell me if I'm within the return deadline?
How about returning a {item} now, would you still allow it?
Did I wait too long to undo this purchase? The {item} is as new.
""",
    ),
    answers={
        "open": wordings(
            train="""
Yes, you can still return it.
Of course, you're within your return window, so just send it back unworn.
Your return period is still running. Pack the item up and use the return form in your account.
No problem at all, we'll take it back.
You haven't missed anything: the return is possible and we'll refund you once it arrives.
Sure, send it back to us!
There is still time left for a return. I have opened one for you.
I've checked the dates and the return would be accepted.
It isn't too late. Please put the item in its original packaging and drop it off.
Good news, the deadline has not passed yet, so go ahead and return it.
We will gladly accept the return as long as the tags are still on.
You are in time. The steps for sending it back are in the email I've just sent you.
That's covered, returns for this purchase remain open.
Still returnable, yes.
Nothing stands in the way of a return here; you'll get your money back.
Don't worry, you did not wait too long. We accept it back in unused condition.
""",
            heldout="""
You may bring it back, the time limit hasn't been reached.
Absolutely. Hand it in unused and we'll pay back the purchase price.
Feel free to post it back to our warehouse; your purchase is recent enough for that.
Since the period for returning it hasn't ended, I'm setting up the return now.
A return is fine at this point.
I can confirm that we'd still accept this item from you. A refund follows after a short check.
Rest assured that you're not past the cut-off, and we are able to take the goods back.
""",
        ),
        "closed": wordings(
            train="""
Unfortunately the return window has closed.
No, it can no longer be returned.
I'm happy to explain how returns work, but the period for your purchase is over.
Sorry, that's no longer possible, the deadline for returns has passed.
We can't take it back any more.
Thank you for asking first! Sadly your time for a return has run out, so we'd have to send it \
back to you.
Too late for a return, I'm afraid.
I checked the dates, and this purchase lies outside your return period. A refund isn't possible.
Your right to return the item has expired.
I wish I had better news: we would have to refuse the return because too much time has gone by.
Yes, we do take returns, only not after this long. Yours is past the limit.
The last day for sending it back has already gone by.
Returns for this order are closed. You are of course welcome to pass it on to a friend.
We would gladly have accepted it earlier, but now we have to decline.
It's beyond the time we allow for returns, so you'll have to keep it.
Regrettably we are unable to accept this return, as the allowed number of days is exceeded.
""",
            heldout="""
That purchase was too long ago for us to accept it back.
I'm afraid you have missed the cut-off, so a return won't be accepted.
Sure, I looked it up for you: the time in which you could have sent it back is behind us.
We must turn this down. The item stays with you since the return term ended.
It's not eligible for a return any longer, even unworn.
Please don't send it back, we could not refund you at this stage because the limit has been \
exceeded.
Your chance to hand it back has lapsed, sorry about that.
""",
        ),
    },
)

RETURN_SHIPPING = Phrasing(
    questions=wordings(
        train="""
Who pays the postage when I send something back?
Do I have to pay for the return label?
Is the return shipping free for me?
what does it cost me to ship the {item} back
Will you email me a prepaid label for my {item}?
I want to return the {item}. Are the shipping costs on you or on me?
Do you deduct anything for return postage?
Is there a charge for sending a parcel back to you?
If I return the {item}, is the way back free of charge?
return label - free or not?
Could you tell me whether I have to cover the cost of the return parcel?
Sending the {item} back by courier is expensive here. Do you pay for that?
How much is the return fee in my case?
Must I buy the stamp for the return parcel myself?
""",
        heldout="""
Are returns postage-paid for someone like me?
At whose expense does the {item} travel back to your warehouse?
Before I pack up the {item}: do I owe anything for shipping it back?
do i get a label without paying for it
Would the cost of mailing back the {item} be taken off my refund?
Is the parcel back to you included, or does it cost extra?
""",
    ),
    answers={
        "free": wordings(
            train="""
The return label is free for you.
You pay nothing for sending it back, we cover the postage.
No, there's no charge. Print the prepaid label from your account.
Return shipping is on us.
We'll email you a prepaid label, so no costs arise for you.
Don't worry about postage, it is fully covered on our side.
It costs you nothing: stick our label on the parcel and drop it off.
Nothing will be deducted from your refund for the way back.
We pick up the bill for the return parcel.
Of course we pay for the way back.
You won't be charged for the label. I've attached it to this message.
Free of charge, yes!
The postage for returns is included in your case, so there is no fee.
Happy to help: you don't need to buy a stamp, our label is already paid for.
""",
            heldout="""
You can ship it back at our expense.
There's no cost to you, the courier bills us for returns.
Mailing it back is gratis in your case, and the refund is paid in full.
We bear the cost of the return parcel, so just use the label enclosed.
Zero. Sending goods back won't cost you a cent.
Please don't pay at the counter, the carriage is prepaid by us.
""",
        ),
        "customer_pays": wordings(
            train="""
The return label costs 6.90 EUR, which we deduct from your refund.
I'm afraid you have to pay for the return shipping yourself.
Return postage isn't free in your case, there is a fee of 6.90 EUR.
We don't cover the cost of sending it back.
You'd have to carry the postage for the way back.
Sure, I can send you a label, but it isn't free: we charge 6.90 EUR for it.
Unfortunately a prepaid label is not included for you.
The shipping back to us is at your own expense.
Yes, there is a charge for the return parcel. It comes off the refund.
For you the return fee applies, so please expect a slightly smaller refund.
Sorry, we can't offer free returns here. The label is 6.90 EUR.
You pay the way back.
The cost of the return is yours to bear, although we're glad to arrange the courier for you.
A small fee is due for the label, as free returns do not apply to your account and region.
""",
            heldout="""
We'd withhold 6.90 EUR from what we pay back, to cover the parcel.
Complimentary return labels aren't available to you, so the postage is your own cost.
Please note that mailing it back is not gratis, you will be billed for the label.
That one is on you, I'm sorry: the courier's price for returns is passed on.
Gladly, here is how it works: you buy the label from us and then ship the goods.
The refund will be reduced by the price of the return shipment.
""",
        ),
    },
)

FAULTY_ITEM = Phrasing(
    questions=wordings(
        train="""
The zip of my {item} broke. Can I get my money back right away?
My {item} is faulty. Do I get a full refund?
The {item} has a manufacturing defect and I want a refund instead of a repair.
a seam came apart on the {item}, can i just reject it
There's a hole in the {item} that was not my fault. Refund please?
Do I have to accept a repair, or can I hand the broken {item} back for the money?
The buckle snapped on first use. Am I entitled to a refund?
My {item} leaks. I'd rather have the money than another one, is that possible?
The {item} stopped working, will you refund it or fix it?
Defective {item}. What can I demand: money back or repair?
Something is wrong with the stitching of my {item}. Can I cancel the purchase because of it?
the coating is peeling off my {item}!! i want my money back now
Does a fault like a torn strap give me my money back straight away?
I received a {item} that turned out to be broken. Will you pay me back in full?
""",
        heldout="""
The {item} fell apart through no fault of mine. Is a refund due?
Am I allowed to reject a damaged {item} and have the price paid back?
My {item} has a defect, must I let you try to mend it first?
cracked {item}, do you return the full amount or only patch it up
After a fault like this one, is it money back or the workshop for me?
The {item} doesn't do what it should because of a production error. Full reimbursement?
""",
    ),
    answers={
        "refund": wordings(
            train="""
You can reject the faulty item and get a full refund.
Since the fault showed up early enough, we'll give you all your money back.
No repair needed, we refund the full price of the defective item.
Sorry about the defect! You're entitled to the money straight away.
We'll pay you back in full, just send us a photo of the damage.
Yes, a full refund for the fault is due.
You don't have to accept a repair. I've started the refund for the broken item.
You are still within the period in which a defective item may be handed back for the full price.
That shouldn't have happened. We'll reimburse you completely.
Please return the damaged piece, the whole amount will be paid out to you.
Of course we refund a faulty product, and right away too.
It's your choice, and if you want the money rather than the workshop, you get it.
I won't make you wait for a fix: the defect qualifies for an immediate refund.
Rejecting it is fine, the rule for your region gives you that right at this point.
""",
            heldout="""
A defect this soon after buying means you get back everything you paid.
There's no need to have it mended first. We return the entire price.
We accept that you reject the broken goods, and the money is on its way.
Full reimbursement for the fault, no question.
Under the rules where you live it's not too late to demand your cash back for a defective article.
I'm sorry it arrived like that. Let's skip the workshop and undo the purchase.
""",
        ),
        "repair": wordings(
            train="""
We'll repair it first, free of charge.
An immediate refund is no longer possible, but our workshop will fix the fault at no cost.
The time for rejecting a faulty item outright is over. We offer you a free repair.
Please send it to our workshop, we have the right to mend it before any refund.
I understand you'd like the money, yet at this point the rule is repair first.
No refund straight away, sorry. We will gladly fix it for you though.
The fault is covered, and covered means a repair in your case, not a payout.
You'd have to let us try to fix it.
Yes, we take care of the defect: the workshop repairs it, you don't pay anything.
We can't pay out the price for a defect that is reported this late, only mend it.
Sorry about the broken part. It goes to repair first, and only if that fails do we talk about \
money.
Rejecting the item for a full refund isn't an option any more.
Our technicians will put it right. A refund would have been possible only earlier.
The early period for your money back has ended, so the defect is handled as a free repair.
""",
            heldout="""
Before any money can flow, we're allowed one attempt to mend the fault.
Too much time has passed to reject it, so the remedy is having our workshop fix it for free.
Happy to sort this out! It won't be cash back though; we restore the broken piece instead.
Reimbursement isn't due at this stage. The defect will be corrected by our technicians.
You cannot undo the purchase over this fault now, but mending it costs you nothing.
The right answer to a defect after this long is the workshop, not a payout.
""",
        ),
    },
)


REFUND_METHOD = Phrasing(
    questions=wordings(
        train="""
How will my refund be paid out?
Do I get real money back or store credit?
Will the refund go to the account I paid with?
is my refund going to be a voucher or actual money
I don't want store credit. Can you refund the way I paid?
Where does the money for my return go?
In what form do you pay back a return?
Can the refund be sent to my original payment method?
You're not going to give me just shop credit for the return, are you?
My return arrived at your place. How do I get the amount back?
Refund to my payment method or as credit, which one is it?
Which way will you reimburse me?
so for the refund, do i see it on my statement or in my shop account
Please confirm that I'm going to be paid back the same way I paid.
""",
        heldout="""
Once you've processed what I sent back, do I receive money or a balance at your shop?
By which route does the reimbursement reach me?
Will I be given credit with you or is the payment reversed?
do u reverse the payment for my return or do i only get shop balance
I'd like to know what kind of refund to expect for the goods I returned.
Is the amount returned to where it came from?
""",
    ),
    answers={
        "original": wordings(
            train="""
The refund goes back to your original payment method.
You'll get the money back the same way you paid.
We refund the payment itself, not store credit.
Real money, of course: it goes to the account you paid with.
No voucher, don't worry. The amount is returned to where it came from.
You will see the refund on your statement in a few days.
We pay it back through the payment method used for the order.
It won't be store credit. The original payment is reversed.
The same way you paid.
Your payment will be reversed, that takes three to five working days.
As soon as the return is checked, we transfer the amount back to your means of payment.
I've triggered the refund to your original payment method; credit isn't used in your case.
You do not have to accept credit, we send the money back.
You'll be reimbursed by the payment provider you used at checkout.
""",
            heldout="""
The sum returns to the source it was paid from.
Expect actual money: whatever you used at checkout receives the amount.
We undo the charge, so there's no shop balance involved.
Your bank or payment service will show the incoming refund shortly.
It comes back by the route on which you sent it.
Instead of a balance in our shop you receive the payment itself back.
""",
        ),
        "store_credit": wordings(
            train="""
The refund will be store credit.
We refund this order as credit in your shop account.
I'm sorry, a payout isn't possible here, you'll receive store credit instead.
You'll get the full amount, as credit for your next purchase.
For this order the money can't go back to a bank or card; we issue shop credit.
It comes as store credit, which never expires.
No money back on this one, only credit.
The amount is added to your shop balance once the return is checked.
Sure, you get refunded, though in the form of a credit with us.
We aren't able to reverse the payment. The value is booked as store credit.
In your case refunds are made as credit and not in cash.
Your shop account will be credited with the full value.
I know you'd rather have cash, but this purchase is refunded as credit.
Store credit it is, I'm afraid.
""",
            heldout="""
We'll put the sum on your balance with us, it isn't paid out.
A reversal of the payment is ruled out for this purchase. You can spend the value in our shop.
You'll be compensated with a balance you can use on your next order.
The value stays with us as credit, so nothing will show up on your statement.
Gladly refunded! It will be usable in our shop only, though.
What you receive is an in-shop balance rather than your payment back.
""",
        ),
    },
)
