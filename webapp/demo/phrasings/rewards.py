"""Phrasings about prices, points, vouchers, the sale and the repair courier."""

from __future__ import annotations

from webapp.demo.phrasings.wording import Phrasing, wordings

PRICE_MATCH = Phrasing(
    questions=wordings(
        train="""
I saw the same thing cheaper elsewhere. Do you match the price?
Do you have a price guarantee for what I bought?
Another shop sells it for less. Will you refund the difference?
cheaper at a competitor, can you match that
Can I get a price match on my order?
Would you pay me back the difference to a lower price?
Your competitor is 15 percent cheaper. What can you do?
Is my order eligible for price matching?
I paid too much compared with another store. Can you adjust the price?
Found it for less online, do I get money back?
price match possible? have a screenshot
Could you lower the price of my order to that of another shop?
The shop down the road undercuts you. Do you go along with its price?
Will you give me the best price guarantee on this?
""",
        heldout="""
A rival has a better offer on the very same article. Do you level with it?
Is there a rebate if I can show you a lower offer?
Someone else asks less for it, would you come down to that?
other store has it way under your price, do i get the gap back
Does the low-price promise cover what I ordered?
May I claim the gap between your price and a better one?
""",
    ),
    answers={
        "match": wordings(
            train="""
Yes, we match that price.
We'll refund you the difference to the lower price.
Your order is eligible for the price match. Please send a link to the offer.
Of course, send me a screenshot and I'll adjust the price.
No problem, you get the difference back.
The price guarantee covers your order.
We go along with the competitor's price.
I've checked, and a price match is fine here.
You won't pay more with us: the gap will be paid back.
Sure, we'll match it!
Price matching applies to what you bought, so show us the offer and we do the rest.
Thanks for the hint. I have lowered the price of your order to the other shop's.
There's nothing against adjusting the price.
The best price guarantee holds for you here.
""",
            heldout="""
We level with that offer and hand you the gap.
Show us the better deal and we'll come down to it.
Our low-price promise extends to this order, so the excess goes back to you.
You can claim what you paid too much.
Gladly, a rebate down to their level is possible.
We won't be undercut on this one, you'll get the same deal.
""",
        ),
        "no_match": wordings(
            train="""
Sorry, we can't match the price on this order.
Price matching doesn't apply to what you bought.
Unfortunately your order isn't covered by the price guarantee.
No, we don't refund the difference here.
I'd be glad to, but this purchase is excluded from price matching.
The price stays as it is.
We're not able to adjust the price for you.
Your order does not meet the conditions for a price match.
Thanks for the link! We can't go along with that price, though.
We do have a price guarantee, but it leaves out orders like yours.
A refund of the difference is not possible.
No price match on this one.
I have to decline the price adjustment.
Other shops may be cheaper now and then. We can't match them on this order.
""",
            heldout="""
We won't come down to the rival's offer in this case.
There's no rebate for you here, even with proof of a better deal.
Our low-price promise does not extend to this purchase.
You can't claim the gap, I'm sorry.
What you paid is final, whatever others ask.
Happy that you compare, but levelling with them is ruled out for this order.
""",
        ),
    },
)

POINTS = Phrasing(
    questions=wordings(
        train="""
Can I redeem my loyalty points?
Do I have enough points for a reward?
I'd like to use my points on the next order. Is that possible?
can i cash in my points now
How many points do I need, and have I got them?
Are my points enough for a discount?
Please turn my points into a discount.
Can my bonus points be used to pay for a {item}?
Is my points balance high enough to redeem?
I want to spend my loyalty points on a {item}.
Why can't I find the redeem button, are there not enough points?
points -> discount please
Could you apply my collected points to my order?
Would my points get me something off already?
""",
        heldout="""
Have I collected sufficient loyalty points to exchange them for money off?
May I spend the bonus balance I've saved up?
Is it time yet to trade my points for a {item}?
do my points buy me anything at this stage
Please check whether my bonus account can be cashed.
I've been saving points. Can they go towards a {item} now?
""",
    ),
    answers={
        "redeem": wordings(
            train="""
Yes, you can redeem your points now.
You have enough points for a reward.
Of course, your balance is high enough. Choose redeem at checkout.
I've turned your points into a discount for your next order.
Your points are ready to be used.
No problem, I'll apply the points to your order.
You've reached the number of points you need.
Go ahead and spend them, your points suffice.
The balance on your account is sufficient to redeem.
Good news, there are enough points for a discount.
You can pay with your points.
Sure, points redeemed!
Nothing is missing: the points can be taken off your next purchase.
Thank you for your loyalty. The discount from your points is active.
""",
            heldout="""
What you've saved up can be traded in today.
Your bonus account is full enough to be cashed.
You collected sufficient points, so there's money off waiting for you.
Feel free to put the bonus towards your next buy.
I've cashed the bonus for you.
The minimum for exchanging points has been passed.
""",
        ),
        "not_yet": wordings(
            train="""
Sorry, you can't redeem points at the moment.
There aren't enough points on your account yet.
Unfortunately your points balance is too low to redeem.
No, you haven't reached the number of points needed.
Not enough points, I'm afraid.
I'd love to give you the discount, but your balance doesn't reach the minimum.
Redeeming isn't possible yet.
You would need more points before they can be used.
Points can be turned into discounts, only yours don't suffice so far.
Your account is below the limit for redeeming.
We can't apply points to your order right now.
Thanks for being with us! For a reward the balance still falls short.
It's too early to spend points.
The points needed for a discount are not there.
""",
            heldout="""
What's on your bonus account can't be cashed at this stage.
You're short of the minimum, so no money off for now.
The button stays hidden until you have collected sufficiently, which isn't the case.
Sure, I checked: there is too little to trade in.
You have yet to save up the amount that makes an exchange possible.
Putting a bonus towards your buy does not work today.
""",
        ),
    },
)

GOODWILL = Phrasing(
    questions=wordings(
        train="""
I was really disappointed with the service. Can I get a goodwill voucher?
Could you offer me a voucher for the trouble?
After all this hassle, is there some kind of goodwill gesture?
this was annoying, do i get a voucher for it
Would you give me a small voucher as an apology?
I think a goodwill voucher would be fair after this experience.
You got my order wrong. What about a gesture of goodwill?
A friend got a voucher after complaining. Can I have one too?
The hotline kept me waiting for an hour. Is a voucher possible?
I've had nothing but trouble. Will you make it up to me with a voucher?
Can I have some compensation as goodwill?
goodwill voucher please, the packaging was a mess
Am I entitled to a goodwill voucher?
Please consider a voucher for the inconvenience.
""",
        heldout="""
How about a little something to say sorry, like a gift code?
Is there an apology coupon for what happened?
I expect a gesture for the trouble you caused me.
can you do anything nice for me after that mess, a coupon maybe
Do unhappy buyers like me receive a coupon?
What will you do to win me back? I'd settle for a gift code.
""",
    ),
    answers={
        "voucher": wordings(
            train="""
Of course, here is a goodwill voucher for you.
We're sorry for the trouble and have added a voucher to your account.
Yes, you'll get a voucher as an apology.
I've issued a goodwill voucher, you will find the code in your inbox.
That wasn't our best day. Please accept a voucher.
You deserve a gesture, so a voucher is on its way.
A goodwill voucher is granted.
Sorry about that! The voucher for your next order is active.
No question, we make it up to you with a voucher.
I'm sending you a voucher for the inconvenience.
Happy to offer you a voucher this time.
The voucher has been approved for you.
We would like to keep you as a customer and give you a voucher.
Nothing speaks against a goodwill gesture, the code follows by email.
""",
            heldout="""
Please take this coupon as our way of saying sorry.
We owe you something nice, a gift code is attached.
I have put an apology credit together for you.
You'll receive a coupon from us for what happened.
Our gesture to you: money off your next purchase.
Your request is fair, so we are treating you to a gift code.
""",
        ),
        "had_one": wordings(
            train="""
Sorry, you've already had a goodwill voucher in the last twelve months.
We can't give you another voucher this year.
Unfortunately no further voucher is possible, since one was granted recently.
You received a goodwill voucher not long ago, so I have to decline.
No second voucher, I'm afraid.
I apologise for the trouble. A further voucher isn't possible at the moment, though.
Your last goodwill voucher is too recent.
We hand out one voucher a year, and you have had yours.
I'd love to, but our records show a voucher for you already.
Yes, we do give vouchers, just not twice within a year.
The yearly goodwill gesture has been used up.
Another voucher can't be issued yet.
I'm truly sorry about this, but my hands are tied: you already got a voucher.
It's too soon for a new goodwill voucher.
""",
            heldout="""
You've been given a coupon within the past year, so nothing more can be added.
A repeat gesture is ruled out for now.
Our apology coupons come once in twelve months, and that allowance is spent.
I understand your anger, still I can't hand you one more gift code.
We treated you to one a few months back. Please bear with us until the year is over.
Not again so soon, sorry.
""",
        ),
    },
)


REPAIR_PICKUP = Phrasing(
    questions=wordings(
        train="""
Can a courier pick up my {item} for repair?
My {item} needs a repair. Do you collect it from my home?
Do I have to send the {item} to the workshop myself?
can someone come and get the {item} for fixing
How does the {item} get to your repair workshop?
Is the pickup service for repairs available to me?
I'd like to book a courier for my repair.
Could you collect the {item} for servicing?
I have no car. Would you fetch the {item} that needs repairing?
Do you offer repair collection where I live?
Please arrange a pickup for a repair.
repair: do you come to me or do i ship it
Will the workshop send a driver for my {item}?
Is it possible to have my {item} picked up for maintenance?
""",
        heldout="""
Is there a driver who takes my {item} to the people who mend it?
Must I bring the {item} to the post for mending, or does somebody fetch it?
Can you have my {item} collected at the door so it can be serviced?
do you fetch stuff that needs mending
I want my {item} serviced. What's the way to get it to you, does anyone come by?
Would doorstep collection for mending be an option for me?
""",
    ),
    answers={
        "pickup": wordings(
            train="""
Yes, a courier will pick it up for the repair.
We collect it from your home, so please keep it ready.
The repair pickup is available to you. Which day suits you?
Of course, I've booked a courier for you.
You don't have to send it in, we come and get it.
Pickup is included for your repair.
Sure, a driver will come by.
I've arranged the collection for tomorrow between 9 and 12.
Our courier takes it to the workshop for you.
No need to go to the post office, the pickup service covers you.
Just name a day, and we'll have it collected.
Happy to fetch it at your door.
The collection service works for you, and the courier brings a box.
It will be picked up.
""",
            heldout="""
Somebody will come by and fetch it.
Doorstep collection is an option for you, pick a time slot.
Leave the transport to us: our driver gets it to the people who mend it.
You can stay at home, we'll have it brought to the workshop.
I have scheduled a driver who takes it along.
We'll fetch it, so hand it over at your door.
""",
        ),
        "send_in": wordings(
            train="""
Please send it to our workshop yourself, there is no pickup for you.
Unfortunately we can't collect it.
The courier pickup isn't available in your case.
You'd have to ship it to the workshop.
No, we don't pick up repairs from you. Please use the post.
I'm happy to start the repair, but you'll need to send the item in.
Sorry, no pickup service for your account and region.
Drop it off at any parcel shop, addressed to our workshop.
Collection is not offered to you, so please mail it.
A courier can't be booked here.
Yes, we repair it! Getting it to us is your part, though.
We can't send a driver.
Repairs have to be sent in by you.
Pack it well and post it to the repair address on our website, as we don't collect it.
""",
            heldout="""
Nobody can come by to fetch it, I'm sorry.
Doorstep collection isn't an option for you.
You'll need to bring it to the post, the people who mend it are expecting it.
We'd love to mend it, only the transport to us is up to you.
Our drivers don't serve you, so it has to travel by mail.
Please organise the way to the workshop on your own.
""",
        ),
    },
)
