"""The commands on outcome logs: find a policy, certify it, replay it, and what models are worth."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import click

from cascade import certify as certificates
from cascade.advice import advise as measure_models
from cascade.errors import BadOutcomes, Infeasible
from cascade.optimiser import Frontier, Point, Search
from cascade.optimiser import optimise as search_frontier
from cascade.replay import Human, Outcomes, fill_scores, read_outcomes
from scoring.customer import Customer
from webapp import outputs, policy_making
from webapp.log_reports import (
    Report,
    advice_json,
    advice_text,
    draw_advice,
    draw_frontier,
    replay_text,
    replayed,
    savings_place,
)
from webapp.settings import scorer_base

F = TypeVar("F", bound=Callable[..., Any])

INFEASIBLE = 3
NOT_CERTIFIED = 1


def log_option(name: str, target: str, text: str, *, required: bool = True) -> Callable[[F], F]:
    """Return an option that names a log."""
    return click.option(
        name,
        target,
        # A byte that is no UTF-8 is kept, so that the reader can name its line.
        type=click.File(encoding="utf-8-sig", errors="surrogateescape"),
        required=required,
        help=text,
    )


Adapters = click.option(
    "--adapters",
    type=click.Path(file_okay=False, path_type=Path),
    help="Trained adapters that fill in missing scores.",
)
AsJson = click.option("--json", "as_json", is_flag=True)
PolicyFile = click.Path(exists=True, dir_okay=False, path_type=Path)


def with_options(command: F, options: Sequence[Callable[[F], F]]) -> F:
    """Add these options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def answer_costs(command: F) -> F:
    """Add the options that say what an answer costs beside its tokens."""
    options = [
        click.option(
            "--scorer-cost", default=0.0, show_default=True, help="USD for each scored answer."
        ),
        click.option(
            "--retries", default=0.0, show_default=True, help="Calls repeated and billed, per call."
        ),
    ]
    return with_options(command, options)


def costs(command: F) -> F:
    """Add the options that say what counts as cost, and what a human costs."""
    options = [
        click.option("--human", "human_price", type=float, help="USD a ticket for a human."),
        click.option("--human-quality", type=float, show_default="1.0", help="Share right."),
        click.option(
            "--capacity",
            type=float,
            help="The most a human takes: a share of all tickets, or so many of --tickets-a-day; "
            "all of them where it is missing.",
        ),
        click.option("--tickets-a-day", type=float, help="All tickets of a day."),
        answer_costs,
    ]
    return with_options(command, options)


@click.command()
@log_option("--train", "train_log", "The log to choose on, JSONL; - is stdin.")
@log_option("--test", "test_log", "Another log, to measure on.", required=False)
@Adapters
@click.option("--depth", default=4, show_default=True, help="Most models in a chain.")
@click.option("--bins", default=20, show_default=True, help="Thresholds to choose from, plus one.")
@costs
@click.option("--by-segment/--one-for-all", default=True, help="Thresholds per segment.")
@click.option("--budget", type=float, help="USD a ticket that one policy may cost.")
@click.option("--quality", type=float, help="The share right that one policy must reach.")
@click.option("--policy", "policy_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG or SVG.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@AsJson
def optimise(
    train_log: TextIO,
    test_log: TextIO | None,
    adapters: Path | None,
    depth: int,
    bins: int,
    human_price: float | None,
    human_quality: float | None,
    capacity: float | None,
    tickets_a_day: float | None,
    scorer_cost: float,
    retries: float,
    by_segment: bool,
    budget: float | None,
    quality: float | None,
    policy_file: Path | None,
    plot: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Find the cost-quality frontier of a log, or one policy on it.

    Without --budget and --quality the policy is the cheapest that is expected to be as good as the
    best model alone. Exit status 3 where a budget or a quality cannot be met.
    """
    if budget is not None and quality is not None:
        raise click.UsageError("give --budget or --quality, not both")
    if test_log is not None and train_log.name == test_log.name:
        raise click.UsageError(f"--train and --test are both {train_log.name}; give two logs")
    logs = [log.name for log in (train_log, test_log) if log is not None]
    policies = [] if policy_file is None else [policy_file]
    outputs.check_places([*policies, *_drawn(plot, beside=test_log is not None)], read=logs)
    human = _human(human_price, human_quality, capacity, tickets_a_day)
    search = Search(depth, bins, human, scorer_cost, retries, by_segment, seed)
    train = _read(train_log, adapters)
    test = _read(test_log, adapters) if test_log else None
    if test is not None:
        test.without(train)
        # Figures of both logs stand side by side by their models' places.
        test = test.of_models(train.models)
    frontier = search_frontier(train, search)
    chosen, problem = _chosen(frontier, train, budget, quality)
    report = Report(frontier, train, test, chosen, problem)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    if policy_file is not None and problem is None:
        origin = policy_making.origin_of(chosen, report, budget=budget, quality=quality)
        policy_making.write(policy_file, chosen.policy, origin)
        if not as_json:
            click.echo(f"{policy_file}: policy {chosen.policy.version}")
    # Pictures come last, so that nothing is lost with one that cannot be written.
    if plot is not None:
        draw_frontier(plot, frontier, train, test)
    if problem is not None:
        _say(problem)
        sys.exit(INFEASIBLE)


@click.command()
@click.option("--policy", "policy_files", type=PolicyFile, required=True, multiple=True)
@log_option("--outcomes", "log", "JSONL; - is stdin.")
@Adapters
@click.option("--max-error", default=0.05, show_default=True, help="Largest share wrong.")
@click.option("--confidence", default=0.95, show_default=True)
@click.option(
    "--not-in",
    "seen",
    type=click.File(encoding="utf-8-sig"),
    multiple=True,
    help="Examples the scorer learnt from: refuse their customers.",
)
@click.option(
    "--human",
    "human_price",
    type=float,
    help="USD a ticket that is not accepted, to find the cheapest.",
)
@click.option(
    "--tried",
    type=click.IntRange(1, 10**9),
    default=1,
    show_default=True,
    help="How many policies have been tried on this log, this one included.",
)
@click.option("--save", is_flag=True, help="Write what was certified into the policy's file.")
@AsJson
def certify(
    policy_files: Sequence[Path],
    log: TextIO,
    adapters: Path | None,
    max_error: float,
    confidence: float,
    seen: Sequence[TextIO],
    human_price: float | None,
    tried: int,
    save: bool,
    as_json: bool,
) -> None:
    """Certify how many accepted answers are wrong, overall and per segment.

    Of several policies, most careful first, the cheapest that can be certified is chosen. Exit
    status 1 where none can be.
    """
    if tried != 1 and len(policy_files) > 1:
        raise click.UsageError("--tried is for one policy; several are corrected for by themselves")
    human = _human(human_price, None, None, None)
    outcomes = _read(log, adapters)
    for examples in seen:
        _check_customers(outcomes, examples)
    if save:
        outputs.check_places(policy_files)
    policies = []
    for path in policy_files:
        policy, origin = policy_making.read(path)
        if origin is not None:
            certificates.check_unseen(outcomes, origin)
        elif save:
            raise policy_making.unknown(path)
        else:
            _say(policy_making.unknown(path))
        policies.append(policy)
    try:
        if len(policies) == 1:
            certificate = certificates.certify(
                policies[0], outcomes, max_error=max_error, confidence=confidence, tried=tried
            )
        else:
            certificate = certificates.cheapest(
                policies, outcomes, max_error=max_error, confidence=confidence, human=human
            ).certificate
    except Infeasible as exc:
        if as_json:
            click.echo(json.dumps({"holds": False, "reason": str(exc)}, indent=2))
        _say(exc)
        _leave_uncertified(policy_files, save=save)
    text = json.dumps(certificate.as_json(), indent=2) if as_json else certificate.as_text()
    click.echo(text)
    if not certificate.holds:
        _leave_uncertified(policy_files, save=save)
    if save:
        place = [policy.version for policy in policies].index(certificate.policy)
        policy_making.save(policy_files[place], certificate, policies[place].tiers_version)


@click.command()
@click.option("--policy", "policy_file", type=PolicyFile, required=True)
@log_option("--outcomes", "log", "JSONL; - is stdin.")
@Adapters
@costs
@AsJson
def replay(
    policy_file: Path,
    log: TextIO,
    adapters: Path | None,
    human_price: float | None,
    human_quality: float | None,
    capacity: float | None,
    tickets_a_day: float | None,
    scorer_cost: float,
    retries: float,
    as_json: bool,
) -> None:
    """Run a policy over a log: what it costs, what it gets right, which tier answers."""
    policy, origin = policy_making.read(policy_file)
    outcomes = _read(log, adapters)
    human = _human(human_price, human_quality, capacity, tickets_a_day)
    known = (origin or {}).get("ids")
    ids = {str(each) for each in known} if isinstance(known, list) else set()
    seen = sum(certificates.fingerprint(row.id) in ids for row in outcomes.rows)
    search = Search(human=human, scorer_cost=scorer_cost, retries=retries)
    found = replayed(policy, outcomes, search) | {"rows_it_was_made_from": seen}
    click.echo(json.dumps(found, indent=2) if as_json else replay_text(found))
    if unlike := policy_making.other_costs(origin, search):
        _say(f"{policy_file} was made with {unlike}; say the same here to compare")


@click.command()
@log_option("--outcomes", "log", "JSONL; - is stdin.")
@Adapters
@click.option("--depth", default=4, show_default=True, help="Most models in a chain.")
@answer_costs
@click.option("--prices", is_flag=True, help="Also try lower prices for models that add nothing.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG or SVG.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@AsJson
def advise(
    log: TextIO,
    adapters: Path | None,
    depth: int,
    scorer_cost: float,
    retries: float,
    prices: bool,
    plot: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure what each model adds to the frontier, and where one more stops paying."""
    outputs.check_places(_drawn(plot), read=[log.name])
    outcomes = _read(log, adapters)
    search = Search(depth=depth, scorer_cost=scorer_cost, retries=retries, seed=seed)
    advice = measure_models(outcomes, search, prices=prices)
    click.echo(json.dumps(advice_json(advice), indent=2) if as_json else advice_text(advice))
    if plot is not None:
        draw_advice(plot, advice, outcomes)


COMMANDS = (optimise, certify, replay, advise)


def _say(problem: object) -> None:
    click.echo(f"frugaldesk: {problem}", err=True)


def _leave_uncertified(policy_files: Sequence[Path], *, save: bool) -> NoReturn:
    """End with the status of "not certified"; say which files keep a certificate all the same."""
    for path in policy_files if save else ():
        _, origin = policy_making.read(path)
        if origin is not None and "certificate" in origin:
            _say(f"{path} keeps the certificate that it had; nothing was saved")
    sys.exit(NOT_CERTIFIED)


def _chosen(
    frontier: Frontier, train: Outcomes, budget: float | None, quality: float | None
) -> tuple[Point, str | None]:
    """Return the policy that was asked for, or the nearest and why it is not that."""
    try:
        if budget is not None:
            return frontier.for_budget(budget), None
        if quality is not None:
            return frontier.for_quality(quality), None
    except Infeasible as exc:
        return frontier.corners[0 if budget is not None else -1], str(exc)
    as_good = float(train.quality.mean(0).max())
    return frontier.for_quality(min(as_good, frontier.corners[-1].expected.quality)), None


def _drawn(plot: Path | None, *, beside: bool = False) -> list[Path]:
    """Return the pictures that a command draws; raises `BadOutcomes` for one it cannot draw."""
    from cascade import plots

    if plot is None:
        return []
    plots.check_path(plot)
    return [plot, savings_place(plot)] if beside else [plot]


def _read(source: TextIO, adapters: Path | None) -> Outcomes:
    """Return the log, missing scores filled in where there are adapters."""
    outcomes = read_outcomes(source, name=source.name)
    return outcomes if adapters is None else fill_scores(outcomes, _scorer(adapters))


def _scorer(adapters: Path) -> Callable[[Sequence[tuple[str, str, Customer]]], list[float]]:
    def score(rows: Sequence[tuple[str, str, Customer]]) -> list[float]:
        from scoring.encoder import load_encoder
        from scoring.examples import Pair
        from scoring.registry import Registry
        from scoring.scorer import with_champions

        scorer, champions = with_champions(load_encoder(scorer_base()), Registry(adapters))
        return [each.value for each in scorer.score([Pair(*row) for row in rows], champions)]

    return score


def _check_customers(outcomes: Outcomes, examples: TextIO) -> None:
    from scoring.examples import read_examples

    known = {each.pair.customer.id for each in read_examples(examples, name=examples.name)}
    certificates.check_unseen_customers(outcomes, known, name=examples.name)


def _human(
    price: float | None, quality: float | None, capacity: float | None, tickets_a_day: float | None
) -> Human | None:
    """Return who takes what no tier accepts; capacity in tickets a day becomes a share."""
    if price is None:
        if (quality, capacity, tickets_a_day) != (None, None, None):
            raise click.UsageError(
                "--human-quality, --capacity and --tickets-a-day need --human, a human's price"
            )
        return None
    return Human(price, 1.0 if quality is None else quality, _share(capacity, tickets_a_day))


def _share(capacity: float | None, tickets_a_day: float | None) -> float:
    """Return which share of all tickets a human takes at most."""
    if tickets_a_day is None:
        return 1.0 if capacity is None else capacity
    if capacity is None:
        raise click.UsageError("--tickets-a-day needs --capacity, how many of them a human takes")
    if not 0 < tickets_a_day < float("inf"):
        raise BadOutcomes(f"{tickets_a_day:g} tickets a day; expected more than 0")
    if not 0 <= capacity < float("inf"):
        raise BadOutcomes(f"a capacity of {capacity:g} tickets a day; expected 0 or more")
    return min(1.0, capacity / tickets_a_day)
