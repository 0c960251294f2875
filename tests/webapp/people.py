"""A tenant with an agent and an admin, for tests that sign in."""

from sqlalchemy.orm import Session

from webapp import access, models

PASSWORD = "correct horse"


def add_people(session: Session) -> str:
    """Add the tenant "t", agent@t.example and admin@t.example; return the tenant's id."""
    row = models.Tenant(slug="t", name="T")
    session.add(row)
    session.flush()
    for role in ("agent", "admin"):
        address = f"{role}@t.example"
        access.put_user(session, row.id, email=address, name=role, role=role, password=PASSWORD)
    return row.id
