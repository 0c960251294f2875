"""Phrasings outside the policy: greetings, empty answers, and questions no macro answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webapp.demo.phrasings.wording import Wordings, lines, wordings

ITEMS = Wordings(
    train=(
        "jacket",
        "tent",
        "pair of boots",
        "stove",
        "backpack",
        "sleeping bag",
        "fleece",
        "headlamp",
        "rain jacket",
        "water filter",
    ),
    heldout=("parka", "hammock", "climbing harness", "camping chair", "windbreaker", "cool box"),
)

OPENERS = wordings(
    train="""
Thanks for getting in touch.
Thank you for your message.
I've had a look at your order.
Thanks for waiting.
Good question.
I checked this for you.
""",
    heldout="""
Thank you for contacting Fernweh Outfitters.
I've gone through your account.
Thanks for your patience.
""",
)

CLOSERS = wordings(
    train="""
Let me know if you need anything else.
Have a great trip!
Just reply if something is unclear.
Is there anything else I can do?
Thank you for shopping with us.
Best wishes from the Fernweh team.
""",
    heldout="""
We're here if you have more questions.
Enjoy the outdoors!
Write to us any time.
""",
)

VACUOUS = wordings(
    train="""
Thanks for reaching out, we'll look into it.
We have received your message and will get back to you.
Your request is important to us.
Please see our website for more information.
I've forwarded this to the right department.
It depends.
We value your feedback.
Could you please be more specific?
Our team is working on it.
Hello, how can I help you today?
Please contact customer service during business hours.
Thank you for your patience and understanding.
That is an interesting question.
As a support agent I can answer questions about our shop.
""",
    heldout="""
We appreciate that you wrote to us and will be in contact.
A colleague is going to review your message soon.
You can find everything in our terms and conditions.
There are several possibilities.
Your satisfaction is our goal.
Noted, thank you.
""",
)

OUTSIDE = wordings(
    train="""
Which hiking trail near Innsbruck do you recommend?
Do you sell bicycles?
What's the weather going to be like in the Alps this weekend?
Who founded your company?
how do i wash a down jacket
Is the rain jacket made without PFAS?
Can I bring a gas cartridge on a plane?
What are the opening hours of your store?
Do your tents come with pegs?
Can you write a poem about mountains?
""",
    heldout="""
What knot should I use for a tarp?
Have you got a branch in Scotland?
does wool itch
Which of your stoves boils water fastest?
Are dogs allowed in your shops?
""",
)


@dataclass(frozen=True)
class Unanswered:
    """A kind of ticket that no macro answers: subjects, bodies, and how agents replied."""

    subjects: tuple[str, ...]
    bodies: tuple[str, ...]
    replies: tuple[str, ...]


UNANSWERED: Mapping[str, Unanswered] = {
    "gear_advice": Unanswered(
        subjects=("Which sleeping bag?", "Gear advice", "Help choosing a tent"),
        bodies=lines("""
Which sleeping bag do you recommend for nights at -10 °C? I sleep cold and I carry everything \
myself.
We're planning ten days on the Laugavegur trail. Is a three-season tent enough in June?
I'm torn between leather boots and light trail shoes for the Tour du Mont Blanc. What would you \
take?
What sleeping mat goes with a winter bag? I'm a side sleeper and weigh 90 kg.
Do I need an ice axe for a hut tour in early July, or are spikes enough?
Which stove works well at 4,000 m? We melt snow for three people.
"""),
        replies=lines("""
For -10 °C I'd take a down bag with a comfort rating of -12 °C, plus a liner if you sleep cold.
A sturdy three-season tent is fine there in June if you pitch it low and use every guy line.
I walked it in light shoes myself, but with a heavy pack or weak ankles leather boots are the \
safer choice.
Go for a mat with an R-value of 5 or more, and at least 8 cm thick for side sleepers.
"""),
    ),
    "staff_complaint": Unanswered(
        subjects=("Rude colleague", "Complaint about your store", "Not happy with the staff"),
        bodies=lines("""
One of your colleagues in the store laughed at me when I asked about plus sizes. I expect an \
explanation.
The man at the till was on his phone the whole time and ignored the queue. Is that how you treat \
people?
Your colleague on the phone hung up on me in the middle of a sentence. I'd like to speak to a \
manager.
I was followed around the shop by an employee as if I were a thief. That was humiliating.
"""),
        replies=lines("""
I'm sorry, nobody should be treated like that. I passed it to the store manager, who will call \
you this week.
Thank you for telling us openly. We've talked to the team and the manager would like to \
apologise in person.
That must have felt awful. I have handed your complaint to our head of stores and you'll hear \
from her.
"""),
    ),
    "sponsoring_and_jobs": Unanswered(
        subjects=("Sponsoring request", "Job application", "Working with you"),
        bodies=lines("""
Our scout group plans a winter camp for 40 children. Would you sponsor some tents?
I'm a climbing instructor and would love to work in your store. Do you have openings?
I run a small channel about ultralight hiking. Are you interested in a partnership?
We're a school from the region and are looking for prizes for our charity run. Could you help?
"""),
        replies=lines("""
What a nice project! Our sponsoring round closes in March, so please send a one-page plan to our \
marketing team.
Thank you for your interest in working with us. Open positions are on the careers page, and I \
noted your name.
We're glad you thought of us. Partnerships are decided by marketing, and they'll answer you \
within two weeks.
"""),
    ),
}
