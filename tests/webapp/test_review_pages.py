"""The review queue's pages and its list over the API, without a browser."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.webapp.people import PASSWORD
from tests.webapp.review_shop import ANSWER, BAD, GOOD, ReviewShop, always, open_review_shop
from webapp import Settings, access, contradictions, create_app, models, reviews
from webapp.db import Database
from webapp.errors import BadSettings

JUDGED = {"correct": "no", "complete": "yes", "right_for_customer": "yes", "tone": "yes"}


@pytest.fixture
def shop(database: Database) -> ReviewShop:
    return open_review_shop(database)


@pytest.fixture
def app(shop: ReviewShop, tmp_path: Path) -> Iterator[APIFlask]:
    """The app over the shop, which audits every sent answer; its desk can do nothing."""
    url = shop.database.engine.url.render_as_string(hide_password=False)
    told = {
        "FRUGALDESK_VAR": str(tmp_path),
        "FRUGALDESK_DATABASE_URL": url,
        "FRUGALDESK_AUDIT_SHARE": "1",
    }
    app = create_app(Settings.from_env(told), open_desk=False)
    app.config["WTF_CSRF_ENABLED"] = False
    app.extensions["frugaldesk.desk"] = SimpleNamespace()
    yield app
    app.extensions["frugaldesk.runs"].shutdown()
    app.extensions["frugaldesk.database"].close()


def signed_in(app: APIFlask, name: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    client.post("/login", data={"email": f"{name}@t.example", "password": PASSWORD})
    return client


def plain(client: FlaskClient, path: str) -> str:
    page = client.get(path, follow_redirects=True)
    assert page.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_an_agents_acceptance_is_audited_on_the_page(app: APIFlask, shop: ReviewShop) -> None:
    made = shop.suggest("T-1")
    agent, admin = signed_in(app, "agent"), signed_in(app, "admin")
    ticket = shop.ticket("T-1").id
    to = f"/tickets/{ticket}/suggestions/{made}/feedback"
    assert agent.post(to, data={"action": "accepted"}).status_code == 303
    assert agent.get("/review").status_code == 403
    (audit,) = shop.open()
    here = f"/review/{audit.id}"
    page = plain(admin, "/review")
    assert "The answer to judge" in page
    assert ANSWER in page
    assert "accepted" not in page
    assert "Your finding" not in page.replace("Your finding changes no ticket", "")
    admin.post(f"{here}/claim")
    refused = admin.post(f"{here}/resolve", data=JUDGED | {"final_text": "No, it is not."})
    assert refused.status_code == 409
    assert "no root cause was given" in refused.text
    assert "No, it is not." in refused.text
    assert re.search(r'name="correct" value="no"[^>]*checked', refused.text)
    done = JUDGED | {"final_text": "No, it is not.", "root_cause": "scorer"}
    assert admin.post(f"{here}/resolve", data=done).location.endswith("/review")
    page = plain(admin, here)
    assert "does not suit" in page
    assert "The scorer misjudged the answer" in page
    assert shop.feedback(made)[-1].final_text == "No, it is not."
    # The agent's page goes on as if nothing had been judged.
    assert "draft accepted" in plain(agent, f"/tickets/{ticket}")
    assert "By agent" in plain(agent, f"/tickets/{ticket}")


def test_a_second_look_shows_nothing_of_the_first(app: APIFlask, shop: ReviewShop) -> None:
    shop.audited("T-1")
    (first,) = shop.open()
    shop.judge(first.id, "admin", BAD, root_cause="model", text="No way.", draw=always)
    (second,) = shop.open()
    ann, bob = signed_in(app, "admin"), signed_in(app, "second")
    assert "does not suit" in plain(ann, f"/review/{first.id}")
    assert "because you judged this answer first" in plain(ann, f"/review/{second.id}")
    assert "you judged this answer first" in ann.post(
        f"/review/{second.id}/claim", follow_redirects=True
    ).text.replace("&#39;", "'")
    assert "Nothing waits for a review" in plain(ann, "/review")
    for page in (plain(bob, "/review"), plain(bob, f"/review/{first.id}")):
        assert "does not suit" not in page
        assert "No way." not in page
    assert "is not shown while another admin" in plain(bob, f"/review/{first.id}")
    shop.judge(second.id, "second", GOOD)
    assert "does not suit" in plain(bob, f"/review/{first.id}")
    assert "Two admins judged 1 answer and agree on 0 of 1" in plain(bob, "/review")


def test_a_contradiction_shows_both_sides(app: APIFlask, shop: ReviewShop) -> None:
    shop.give(shop.suggest("T-1"), "accepted")
    made = shop.suggest("T-2", customer="gold-2")
    said = shop.give(made, "dismissed", by="user:other@t.example", reason="Wrong: too late")
    contradictions.report(shop.database, said)
    (review,) = shop.open()
    admin = signed_in(app, "admin")
    page = plain(admin, "/review")
    assert re.search("The earlier one gold-1 .* agent accepted it", page)
    assert re.search("The later one gold-2 .* other dismissed it, .* Wrong: too late", page)
    admin.post(f"/review/{review.id}/claim")
    done = dict.fromkeys(JUDGED, "yes") | {"final_text": ANSWER}
    page = admin.post(f"/review/{review.id}/resolve", data=done, follow_redirects=True).text
    assert "your finding is kept as feedback on both" in page
    assert shop.feedback(made)[-1].suits is True


def test_what_a_page_brings_up_comes_after_the_answer(app: APIFlask, shop: ReviewShop) -> None:
    shop.give(shop.suggest("T-1"), "accepted")
    made, agent = shop.suggest("T-2"), signed_in(app, "other")
    to = f"/tickets/{shop.ticket('T-2').id}/suggestions/{made}/feedback"
    assert agent.post(to, data={"action": "dismissed"}).status_code == 303
    give_up = time.monotonic() + 10
    while not shop.open("contradiction") and time.monotonic() < give_up:
        time.sleep(0.05)
    assert [each.suggestion_id for each in shop.open()] == [made]


def test_the_queue_is_listed_over_the_api(app: APIFlask, shop: ReviewShop) -> None:
    with shop.database.write() as session:
        key = access.create_api_key(session, shop.tenant, "desk")
    api = app.test_client()
    api.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    made = [shop.suggest(f"T-{number}") for number in range(3)]
    for each in made:
        to = f"/api/v1/suggestions/{each}/feedback"
        assert api.post(to, json={"action": "accepted"}).status_code == 201
    escalated = shop.suggest("T-9", status="escalated", customer="guest-1")
    shop.judge(shop.open("audit")[0].id, "admin", BAD, root_cause="model")
    first = api.get("/api/v1/reviews?status=open&limit=2").json
    assert first is not None
    assert [(each["kind"], each["suggestion"]) for each in first["data"]] == [
        ("escalation", escalated),
        ("audit", made[1]),
    ]
    assert (first["data"][0]["ticket"], first["data"][0]["customer"]) == ("T-9", "guest-1")
    assert first["has_more"]
    rest = api.get(f"/api/v1/reviews?status=open&cursor={first['next_cursor']}").json
    assert rest is not None
    assert [each["suggestion"] for each in rest["data"]] == [made[2]]
    assert (rest["next_cursor"], rest["has_more"]) == (None, False)
    closed = api.get("/api/v1/reviews?status=resolved").json
    assert closed is not None
    (audit,) = closed["data"]
    assert (audit["status"], audit["round"], audit["priority"]) == ("resolved", 1, 3)
    assert not {"suits", "rubric"} & set(audit)
    assert api.get("/api/v1/reviews?status=lost").status_code == 422
    assert api.get("/api/v1/reviews?cursor=nonsense").status_code == 422
    assert app.test_client().get("/api/v1/reviews").status_code == 401


def test_a_share_that_is_none_is_refused(tmp_path: Path) -> None:
    told = {"FRUGALDESK_VAR": str(tmp_path), "FRUGALDESK_AUDIT_SHARE": "5"}
    with pytest.raises(BadSettings, match="FRUGALDESK_AUDIT_SHARE is '5'; expected a number from"):
        Settings.from_env(told)
    assert Settings.from_env({"FRUGALDESK_VAR": str(tmp_path)}).audit_share == 0.05


def test_another_tenants_reviews_are_not_there(app: APIFlask, shop: ReviewShop) -> None:
    shop.audited("T-1")
    (audit,) = shop.open()
    with shop.database.write() as session:
        other = models.Tenant(slug="else", name="Elsewhere")
        session.add(other)
        session.flush()
        access.put_user(
            session, other.id, email="x@t.example", name="x", role="admin", password=PASSWORD
        )
        key = access.create_api_key(session, other.id, "else")
    stranger = signed_in(app, "x")
    assert stranger.get(f"/review/{audit.id}").status_code == 404
    assert stranger.post(f"/review/{audit.id}/claim").status_code == 404
    assert "Nothing waits" in plain(stranger, "/review")
    headers = {"Authorization": f"Bearer {key}"}
    listed = app.test_client().get("/api/v1/reviews", headers=headers).json
    assert listed == {"data": [], "next_cursor": None, "has_more": False}


def test_an_alarm_has_a_page_of_its_own(app: APIFlask, shop: ReviewShop) -> None:
    from cascade import Policy, Tier
    from webapp import policies

    policy = Policy((Tier("macros", "macro", 0.7),))
    certificate = {"max_error": 0.05, "confidence": 0.95, "log": "l", "rows": 9, "tiers": "t"}
    with shop.database.write() as session:
        made_from = {"certificate": certificate}
        policies.publish(
            session, shop.tenant, policy, origin="test", actor="cli", made_from=made_from
        )
        row = reviews.add(session, shop.tenant, "alarm", reason="Wrong.", policy=policy.version)
    shop.give(shop.suggest("T-1", policy=policy.version), "dismissed")
    admin, here = signed_in(app, "admin"), f"/review/{row.id}"
    page = plain(admin, "/review")
    assert "1 accepted answers, 1 of them wrong" in page
    assert "See the policy" in page
    admin.post(f"{here}/claim")
    assert "note is empty" in admin.post(f"{here}/dismiss", data={"note": ""}).text
    done = admin.post(f"{here}/resolve", data={"note": "Raised."}, follow_redirects=True)
    assert "the alarm is closed with your note" in done.text
    assert "Note: Raised." in plain(admin, here)


def test_an_escalations_best_candidate_may_be_judged(app: APIFlask, shop: ReviewShop) -> None:
    shop.suggest("T-1", status="escalated", answer=None)
    made = shop.suggest("T-2", status="escalated")
    admin = signed_in(app, "admin")
    without, candidate = shop.open("escalation")
    for each, has_one in ((without, False), (candidate, True)):
        admin.post(f"/review/{each.id}/claim")
        assert ("The best candidate" in plain(admin, f"/review/{each.id}")) == has_one
    done = {"final_text": "No.", "root_cause": "model", "right_for_customer": "no"}
    assert admin.post(f"/review/{candidate.id}/resolve", data=done).status_code == 303
    assert "does not suit" in plain(admin, f"/review/{candidate.id}")
    assert [each.suggestion_id for each in shop.cases()] == [made, made]
    page = admin.post(f"/review/{without.id}/resolve", data=done | {"tone": "x"})
    assert "tone is &#39;x&#39;; expected yes or no" in page.text
    assert admin.post(f"/review/{without.id}/resolve", data=done).status_code == 303
    assert [each.label for each in shop.cases()] == [0, 1, 1]
