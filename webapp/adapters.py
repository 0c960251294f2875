"""Which adapters score a tenant's customers: versions in the database, a live pointer a segment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from scoring.errors import BadExamples
from scoring.examples import Example, digest
from scoring.registry import Manifest, Registry
from webapp import audit, models
from webapp.tombstones import Tombstones, customer_hash, take_turn

LEARNT = "It learnt from a customer who was erased."
MAY_HAVE_LEARNT = "A customer was erased, and whom it learnt from is not known."


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
            # What was live before an earlier promotion is not what this one replaces.
            pointer.moved_by, pointer.moved_at = actor, models.utc_now()
            pointer.version_before = before
            session.flush()
            session.refresh(pointer)
        audit.record(session, tenant_id, actor, "adapter.published", version, before=before)


def record_customers(
    session: Session,
    tenant_id: str,
    versions: Iterable[str],
    examples: Sequence[Example],
    *,
    secret: str,
) -> None:
    """Record, by hash, that these stored adapters learnt from the customers of these examples.

    A segment's adapter starts from the shared one, so it learnt from all the shared one did. Who
    was erased after an example's moment marks the adapter at once. Recording again adds nothing.
    """
    take_turn(session, tenant_id)
    tombstones = Tombstones.of(session, tenant_id, secret)
    customers = {each.pair.customer.id for each in examples}
    hashes = {customer_hash(secret, tenant_id, each) for each in customers}
    erased = any(tombstones.cover(each.pair.customer.id, each.at) for each in examples)
    for row in _of_versions(session, tenant_id, versions):
        known = select(models.AdapterCustomer.customer_hash).where(
            models.AdapterCustomer.adapter_id == row.id
        )
        fresh = sorted(hashes.difference(session.scalars(known)))
        session.add_all(
            models.AdapterCustomer(tenant_id=tenant_id, adapter_id=row.id, customer_hash=each)
            for each in fresh
        )
        if erased:
            _mark(row, LEARNT)
    session.flush()


def of_unknown_origin(session: Session, tenant_id: str, versions: Iterable[str]) -> list[str]:
    """Return those of the stored versions of which nobody recorded whom they learnt from."""
    known = set(session.scalars(_recorded(tenant_id)))
    rows = _of_versions(session, tenant_id, versions)
    return [row.version for row in rows if row.id not in known]


def check_examples(folder: Path, files: Mapping[str, Sequence[Example]]) -> None:
    """Raise `BadExamples` unless every champion of the folder was trained on one of these files."""
    registry = Registry(folder)
    given = {digest(examples) for examples in files.values()}
    for version in registry.champions().values():
        if (data := registry.manifest(version).data) not in given:
            raise BadExamples(
                f"{version} was trained on examples with the sha256 {data[:12]}…, which is none of "
                f"{', '.join(files)}; give every file that `frugaldesk train` read, unchanged"
            )


def mark_learnt_from(session: Session, tenant_id: str, hashed: str) -> tuple[str, ...]:
    """Mark the adapters that learnt from this customer, or may have; returns their versions.

    May have learnt from them any adapter of which nobody recorded whom it learnt from.
    """
    learnt = _recorded(tenant_id).where(models.AdapterCustomer.customer_hash == hashed)
    mine = select(models.Adapter).where(models.Adapter.tenant_id == tenant_id)
    marked = []
    for which, because in (
        (models.Adapter.id.in_(learnt), LEARNT),
        (models.Adapter.id.not_in(_recorded(tenant_id)), MAY_HAVE_LEARNT),
    ):
        for row in session.scalars(mine.where(which).order_by(models.Adapter.version)):
            _mark(row, because)
            marked.append(row.version)
    return tuple(marked)


def _mark(row: models.Adapter, because: str) -> None:
    if row.marked_at is None:
        row.marked_at, row.marked_because = models.utc_now(), because


def _recorded(tenant_id: str) -> Select[str]:
    """Return the adapters of which it is recorded whom they learnt from."""
    return select(models.AdapterCustomer.adapter_id).where(
        models.AdapterCustomer.tenant_id == tenant_id
    )


def _of_versions(
    session: Session, tenant_id: str, versions: Iterable[str]
) -> Sequence[models.Adapter]:
    rows = select(models.Adapter).where(
        models.Adapter.tenant_id == tenant_id, models.Adapter.version.in_(list(versions))
    )
    return session.scalars(rows.order_by(models.Adapter.version)).all()


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
