"""The cold start: what a scorer is worth that learnt from past tickets alone.

The right answers of the demo shop's training part stand for past tickets. Reported are how many of
the mined negatives are really wrong for their customer, and how good the scorer trained on what was
mined is on the held-out part, beside the one trained on the labelled examples.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Bar, finish, less, machine, read_options
from benchmarks.scorer import shop as shop_examples
from scoring.encoder import Encoder, load_encoder
from scoring.evaluation import evaluate
from scoring.examples import Example
from scoring.mining import mine
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.tickets import PastTicket
from scoring.training import train
from webapp.demo.shop import Shop, build_shop, right_answer_is

SPLIT = "demo shop, held-out part"


def main() -> int:
    """Measure, print, and return the exit status."""
    options = read_options(__doc__ or "")
    encoder, demo = load_encoder(), build_shop()
    print(f"cold start, seed 0, on {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        labelled, held_out = shop_examples(Path(folder))
        tickets = [
            PastTicket(each.pair.customer, each.pair.question, each.pair.answer, each.at)
            for each in less(labelled, options)
            if each.label == 1
        ]
        mined = mine(tickets, encoder)
        wrong = really_wrong(mined.examples, demo)
        print(f"{len(tickets)} tickets, {mined.negatives} negatives, {wrong:.1%} really wrong")
        found = {
            name: judged(examples, held_out, encoder, Registry(Path(folder) / name))
            for name, examples in {"mined": mined.examples, "labelled": labelled}.items()
        }
    for name, area in found.items():
        print(f"trained on what was {name}: AUC {area:.3f} on {SPLIT}, {len(held_out)} rows")
    bars = [
        Bar("negatives_really_wrong", wrong, 0.95),
        Bar("mined_auc_of_labelled", found["mined"] / found["labelled"], 0.9),
    ]
    return finish("cold_start", bars, {"auc": found, "negatives": mined.negatives}, options)


def really_wrong(examples: Sequence[Example], demo: Shop) -> float:
    """Return the share of negatives whose stance is not the one that is right for the customer."""
    known = {customer.external_id: customer for customer in demo.customers}
    given = [*demo.examples, *demo.macro_examples]
    stances = {each.answer: (each.topic, each.stance) for each in given if each.label}
    negatives = [example.pair for example in examples if not example.label]
    wrong = 0
    for pair in negatives:
        topic, stance = stances[pair.answer]
        wrong += right_answer_is(topic, known[pair.customer.id]) != stance
    return wrong / max(1, len(negatives))


def judged(
    examples: Sequence[Example], held_out: Sequence[Example], encoder: Encoder, registry: Registry
) -> float:
    """Return the AUC on the held-out part of a scorer trained on these examples."""
    train(examples, encoder=encoder, registry=registry, created=datetime.now(UTC))
    scorer, champions = Scorer(encoder, registry), registry.champions()
    for version in champions.values():
        scorer.load(version)
    report = evaluate(held_out, scorer=scorer, champions=champions, name="shop", split="held-out")
    return report.overall.figures["auc"].value or 0.0


if __name__ == "__main__":
    sys.exit(main())
