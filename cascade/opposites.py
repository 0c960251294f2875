"""Words that mean the opposite of each other in a customer's question."""

import re


def _side(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def _particle(verbs: str, particle: str) -> re.Pattern[str]:
    # Up to three words may stand between, as in "turn my alerts on".
    return re.compile(rf"\b(?:{verbs})\s+(?:[\w'-]+\s+){{0,3}}?{particle}\b", re.IGNORECASE)


SWITCH = r"turn(?:s|ed|ing)?|switch(?:es|ed|ing)?|set|toggle|get|put|is|are"
GO = r"log(?:s|ged|ging)?|sign(?:s|ed|ing)?|opt(?:s|ed|ing)?|check(?:s|ed|ing)?|clock"
MOVE = r"turn(?:s|ed|ing)?|go(?:es|ing)?|went|scale|move|volume|prices?"

OPPOSITES: tuple[tuple[str, ...], ...] = (
    (
        r"cancel\w*|stop(?:s|ped|ping)?|end(?:s|ed|ing)?|terminat\w+|quit",
        r"reactivat\w+|renew\w*|resum\w+|restart\w*|continu\w+|keep(?:s|ing)?|kept|reinstat\w+|"
        r"start(?:s|ed|ing)?|begin\w*|uncancel\w*|restor\w+|extend\w*",
        r"paus(?:e|es|ed|ing)",
    ),
    (r"enabl\w+", r"disabl\w+"),
    (r"activat\w+|reactivat\w+", r"deactivat\w+|de-activat\w+"),
    (r"subscri\w+|resubscri\w+", r"unsubscri\w+|de-?subscri\w+"),
    (r"creat\w+|open(?:s|ing)?|set(?:ting)? up", r"clos(?:e|es|ed|ing)|delet\w+"),
    (r"add(?:s|ed|ing)?|includ\w+", r"remov\w+|delet\w+|exclud\w+|drop"),
    (r"before|prior to|earlier than", r"after|following|later than|once"),
    (r"with|including", r"without|excluding|lacking"),
    (
        r"increas\w+|rais(?:e|es|ed|ing)|rises?|upgrad\w+|higher",
        r"decreas\w+|reduc\w+|lower\w*|downgrad\w+|cut|drop(?:s|ped)?",
    ),
    (r"more|most|maximum|max|longest|latest", r"less|fewer|least|minimum|min"),
    (r"above|over|exceed\w*|more than", r"below|under|less than|up to"),
    (r"accept(?:s|ed|ing)?|approv\w+", r"reject\w*|declin\w+|refus\w+|den(?:y|ied)"),
    (r"allow\w*|permit\w*", r"forbid\w*|prohibit\w*|disallow\w*|bann?\w*"),
    (r"send(?:s|ing)?|sent|ship(?:s|ped|ping)?", r"receiv\w+|get|got|arriv\w+"),
    (r"buy(?:s|ing)?|bought|purchas\w+", r"sell(?:s|ing)?|sold|resell"),
    (r"borrow\w*", r"lend\w*|lent"),
    (r"deposit\w*|top(?:ping)? up", r"withdraw\w*|withdrew|cash(?:ing)? out"),
    (
        r"charg(?:e|es|ed|ing)|(?:pay(?:s|ing)?|paid)(?! (?:me |us |it )?back)|bill(?:ed|s)?",
        r"refund\w*|reimburs\w+|(?:pay(?:s|ing)?|paid) (?:me |us |it )?back",
    ),
    (r"return(?:s|ed|ing)?|send(?:ing)? back", r"keep(?:s|ing)?|kept"),
    (r"refund\w*|money back", r"exchang\w+|replac\w+|swap\w*", r"repair\w*"),
    (r"connect\w*|pair(?:s|ed|ing)?", r"disconnect\w*|unpair\w*"),
    (
        r"lock(?:s|ed|ing)?|freez\w+|frozen|block(?:s|ed|ing)?",
        r"unlock\w*|unfreez\w+|unblock\w*|unfrozen",
    ),
    (r"show(?:s|n|ing)?", r"hid(?:e|es|den|ing)"),
    (r"old|older|oldest|previous|former", r"new|newer|newest"),
    (r"early|earlier|too soon", r"late|later|delayed|overdue"),
    (r"first|earliest", r"last|final"),
    (r"same", r"different|another|other"),
    (r"domestic|national", r"international|abroad|overseas|foreign"),
    (r"inside|indoors?", r"outside|outdoors?"),
    (r"online", r"offline|in[- ]store|in (?:a|the|your) (?:store|shop)"),
    (r"incoming|inbound|import\w*", r"outgoing|outbound|export\w*"),
    (r"public", r"private"),
    (r"monthly|per month", r"yearly|annual\w*|per year", r"weekly|per week"),
    (r"cheap\w*", r"expensive|dear\w*"),
    (r"free", r"paid|charged|cost(?:s|ing)?"),
    (r"large\w*|big\w*", r"small\w*"),
    (
        r"(?:can|may|could) i|am i allowed|is it (?:still )?possible|can be",
        r"must i|(?:do|will|would) i (?:still )?(?:have|need) to|am i required|is it required|"
        r"should i",
    ),
    (r"upload\w*", r"download\w*"),
    (r"wins?|won|earn\w*|gain\w*", r"los(?:e|es|t|ing)|spend\w*|redeem\w*"),
    (r"sender|seller|merchant", r"recipient|buyer"),
    (r"credit", r"debit"),
    (r"valid", r"invalid|expired"),
)
"""Each row is one matter and its sides: a question on one side is not one on another."""

PREFIXED: tuple[tuple[str, str], ...] = (
    (
        r"used|opened|paid|damaged|worn|install\w*|wanted|authori[sz]ed|available|happy|follow\w*|"
        r"mut\w+|marked|verified|limited|link\w*|sealed|wrapped|washed|delivered",
        "un",
    ),
    (r"possible|correct|complete|eligible|sufficient|accurate|active|secure", "im|in"),
    (r"refundable|returnable|member\w*|smok\w+|stop|taxable|transferable", "non"),
    (r"appear\w*|agree\w*|satisfied|honou?r\w*|qualif\w+", "dis"),
    (r"regist\w+|legal|regular|reversible", "un|de|il|ir"),
)
"""Words that a prefix turns into their opposite."""

AXES: tuple[tuple[re.Pattern[str], ...], ...] = (
    (_particle(SWITCH, "on"), _particle(SWITCH, "off")),
    (_particle(GO, "in"), _particle(GO, "out"), _particle(r"sign(?:s|ed|ing)?", "up")),
    (_particle(MOVE, "up"), _particle(MOVE, "down")),
    *(tuple(_side(side) for side in sides) for sides in OPPOSITES),
    *(
        (_side(f"(?<!-)(?:{root})"), _side(f"(?:{prefix})-?(?:{root})"))
        for root, prefix in PREFIXED
    ),
)
"""Every matter and its sides."""

THING = r"(?:an? |the |my |your )?([\w-]+)"
DIRECTED: tuple[re.Pattern[str], ...] = (
    re.compile(rf"\bfrom {THING}[\w\s-]{{0,30}}? (?:in)?to {THING}"),
    re.compile(rf"\b([\w-]+) (?:instead of|rather than) {THING}"),
    re.compile(rf"\b(?:replace|swap|exchange|trade) {THING} (?:for|with|by) {THING}"),
)
"""What goes from one thing to another; the same two the other way round are another question."""
