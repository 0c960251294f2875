"""The demo shop, end to end: how well its scorer knows its customers, what the macros are worth.

Trains the demo's adapters afresh, evaluates them on customers and wordings they never saw, then
asks the macro tier held-out questions and checks each accepted answer against the policy.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks.report import Bar, finish, less, machine, read_options
from cascade import Deadline, DraftRequest, Macro, Macros
from scoring.customer import Customer
from scoring.encoder import Encoder, load_encoder
from scoring.evaluation import evaluate
from scoring.examples import Example, Pair, read_examples
from scoring.registry import Registry
from scoring.scorer import Scorer
from scoring.training import train
from webapp.demo.records import DemoCustomer, DemoExample, Shop
from webapp.demo.seeding import as_scored, write_examples
from webapp.demo.shop import build_shop, right_answer_is

THRESHOLD = 0.8


@dataclass(frozen=True)
class Answered:
    """What the macro tier did with questions: how many it answered, how many of those rightly."""

    asked: int
    accepted: int
    right: int

    @property
    def share_accepted(self) -> float:
        """Accepted answers among the questions."""
        return self.accepted / max(1, self.asked)

    @property
    def share_right(self) -> float:
        """Right answers among the accepted ones."""
        return self.right / max(1, self.accepted)


def main() -> int:
    """Measure, print, and return the exit status."""
    options = read_options(__doc__ or "")
    shop, encoder = build_shop(), load_encoder()
    questions = 150 if options.quick else 1000
    print(f"demo shop, seed 7, on {machine()}; threshold {THRESHOLD}")
    with tempfile.TemporaryDirectory() as folder:
        training, held_out = (read(path) for path in write_examples(shop, Path(folder)))
        registry = Registry(Path(folder) / "adapters")
        started = time.perf_counter()
        train(training, encoder=encoder, registry=registry, created=datetime.now(UTC))
        seconds = time.perf_counter() - started
        print(f"trained on {len(training)} examples in {seconds:.0f} s")
        scorer = loaded(encoder, registry)
        champions = registry.champions()
        report = evaluate(
            less(held_out, options),
            scorer=scorer,
            champions=champions,
            name="demo shop",
            split="held-out",
        )
        print(report.as_text())
        tier = MacroTier.of(shop, encoder, scorer, champions)
        asked = sample(shop, "policy", questions)
        knowing, blind = tier.ask(asked), tier.ask(asked, hidden=True)
        outside = tier.ask(sample(shop, "unrelated", questions), off_topic=True)
    for name, result in (("knowing", knowing), ("blind", blind), ("outside", outside)):
        print(
            f"macros, {name}: {result.asked} held-out questions, {result.share_accepted:.1%} "
            f"accepted, {result.share_right:.1%} of those right for the customer"
        )
    auc = report.overall.figures["auc"].value or 0.0
    hidden = report.controls[0].figures["auc"].value or 0.0
    bars = [
        Bar("train_seconds", seconds, 120, below=True),
        Bar("heldout_auc", auc, 0.9),
        Bar("heldout_auc_customer_hidden", hidden, 0.58, below=True),
        Bar("macro_answers_right", knowing.share_right, 0.9),
        Bar("outside_questions_answered", outside.share_accepted, 0.1, below=True),
    ]
    figures: dict[str, object] = {
        "evaluation": report.as_json(),
        "macros": {"knowing": vars(knowing), "blind": vars(blind), "outside": vars(outside)},
    }
    return finish("demo_shop", bars, figures, options)


@dataclass(frozen=True)
class MacroTier:
    """The cascade's macro tier over the demo shop, with the policy to judge it by."""

    shop: Shop
    macros: Macros
    scorer: Scorer
    champions: dict[str, str]

    @classmethod
    def of(
        cls, shop: Shop, encoder: Encoder, scorer: Scorer, champions: dict[str, str]
    ) -> "MacroTier":
        """Build the tier as the service does."""
        macros = [
            Macro(each.external_id, each.title, each.questions, each.body) for each in shop.macros
        ]
        return cls(shop, Macros(macros, encoder.embed), scorer, champions)

    def ask(
        self, asked: Sequence[DemoExample], *, hidden: bool = False, off_topic: bool = False
    ) -> Answered:
        """Put each question to the tier; with `hidden` the scorer is not told who asks."""
        known = {customer.external_id: customer for customer in self.shop.customers}
        accepted = right = 0
        for example in asked:
            customer = known[example.customer_id]
            answer = self._best(example.question, as_scored(customer), hidden=hidden)
            accepted += answer is not None
            right += answer is not None and not off_topic and self._suits(answer, example, customer)
        return Answered(len(asked), accepted, right)

    def _best(self, question: str, customer: Customer, *, hidden: bool) -> str | None:
        """Return the best-scored macro if it reaches the threshold."""
        texts = self.macros.draft(
            DraftRequest(question, customer, ()), deadline=Deadline.after(60)
        ).texts
        if not texts:
            return None
        shown = Customer("", None) if hidden else customer
        scores = self.scorer.score([Pair(question, text, shown) for text in texts], self.champions)
        value, answer = max(
            ((score.value, text) for score, text in zip(scores, texts, strict=True)),
            key=lambda scored: scored[0],
        )
        return answer if value >= THRESHOLD else None

    def _suits(self, answer: str, example: DemoExample, customer: DemoCustomer) -> bool:
        """Whether a macro of the question's topic with the policy's stance reads like this."""
        return any(
            macro.filled_for(customer) == answer
            and macro.stance == right_answer_is(example.topic, customer)
            for macro in self.shop.macros
            if macro.topic == example.topic
        )


def read(path: Path) -> list[Example]:
    """Read an examples file."""
    with path.open(encoding="utf-8") as source:
        return read_examples(source, name=path.name)


def loaded(encoder: Encoder, registry: Registry) -> Scorer:
    """Return a scorer with the registry's champions loaded."""
    scorer = Scorer(encoder, registry)
    for version in registry.champions().values():
        scorer.load(version)
    return scorer


def sample(shop: Shop, kind: str, most: int) -> list[DemoExample]:
    """Return distinct held-out questions of customers, of a topic that macros cover or of none."""
    covered = {macro.topic for macro in shop.macros}
    distinct = {
        (each.customer_id, each.question): each
        for each in shop.examples
        if each.split == "heldout" and each.kind == kind
        if (each.topic in covered if kind == "policy" else each.topic == "outside")
    }
    found = sorted(distinct.values(), key=lambda each: (each.customer_id, each.question))
    return Random(7).sample(found, min(most, len(found)))


if __name__ == "__main__":
    sys.exit(main())
