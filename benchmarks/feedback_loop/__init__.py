"""Does feedback make better adapters, and what is the random audit worth to them?

A simulation, and so to be read. Customers, tickets and models are those of the open question: two
invented domains, models whose answers are invented at real prices. Tickets of training customers
arrive one after another. The cascade asks the models, cheapest first, and accepts the first answer
whose score reaches a fixed threshold; where none does it escalates the best. An agent reads what
was accepted: a right answer they accept, a wrong one they notice only now and then, and then edit
or dismiss it. What was escalated an admin always judges rightly. After each round an adapter is
trained afresh on a small start and all feedback so far, and serves the next round.

With audits off every verdict is taken at face value. With audits on a share of the accepted answers
is read by a careful reviewer, and the service's own rule weighs the rest by that share. Both learn
from the same tickets and the same drafts, with the same agents; as their scorers part, so does what
they are shown. No customer, question or answer of the held-out part is ever learnt from.
"""
