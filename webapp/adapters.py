"""Which adapters score a tenant's customers: versions in the database, a live pointer a segment."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from scoring.registry import Manifest, Registry
from webapp import audit, models


def champions(session: Session, tenant_id: str) -> dict[str, str]:
    """Return the live adapter version of each segment."""
    rows = session.execute(
        select(models.LiveAdapter.segment, models.Adapter.version)
        .join(models.LiveAdapter.adapter)
        .where(models.LiveAdapter.tenant_id == tenant_id, models.LiveAdapter.alias == "champion")
    )
    return dict(rows.all())


def import_folder(
    session: Session, tenant_id: str, source: Path, target: Path, *, base_digest: str, actor: str
) -> list[str]:
    """Copy the champions of one adapters folder into another and make them live.

    Every file is checked against its digest on the way, and that it was made for the service's
    own base encoder. Raises `scoring.errors.BadAdapter`.
    """
    theirs, ours = Registry(source), Registry(target)
    manifests = []
    for version in theirs.champions().values():
        manifest, content = theirs.read(version, base_digest)
        ours.add(manifest, content)
        manifests.append(manifest)
    publish(session, tenant_id, manifests, actor=actor)
    return [manifest.version for manifest in manifests]


def publish(session: Session, tenant_id: str, manifests: Iterable[Manifest], *, actor: str) -> None:
    """Make these versions live, each for the segment its manifest names, with an audit entry."""
    for manifest in manifests:
        adapter = stored(session, tenant_id, manifest)
        version = adapter.version
        pointer = session.scalar(
            select(models.LiveAdapter).where(
                models.LiveAdapter.tenant_id == tenant_id,
                models.LiveAdapter.segment == adapter.segment,
                models.LiveAdapter.alias == "champion",
            )
        )
        before = pointer.adapter.version if pointer else None
        if before == version:
            continue
        if pointer is None:
            session.add(
                models.LiveAdapter(
                    tenant_id=tenant_id, segment=adapter.segment, adapter_id=adapter.id
                )
            )
        else:
            pointer.adapter_id = adapter.id
        audit.record(session, tenant_id, actor, "adapter.published", version, before=before)


def stored(session: Session, tenant_id: str, manifest: Manifest) -> models.Adapter:
    """Return the row of this version, added where it is new."""
    row = session.scalar(
        select(models.Adapter).where(
            models.Adapter.tenant_id == tenant_id, models.Adapter.version == manifest.version
        )
    )
    if row is None:
        row = models.Adapter(
            tenant_id=tenant_id,
            segment=manifest.segment,
            version=manifest.version,
            manifest=asdict(manifest),
        )
        session.add(row)
        session.flush()
    return row
