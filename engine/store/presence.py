"""Signs of life: which services run now, and what their machines can do."""

from datetime import timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, insert, select, update

from engine.results import Capability, Environment, MachineRecord, ServiceRecord
from engine.store import rows
from engine.store.database import touch
from engine.store.part import Part
from engine.store.tables import machines, services

_CAPABILITIES = TypeAdapter(tuple[Capability, ...])


class Presence(Part):
    """Services and machines, as they last spoke."""

    def beat(self, service_id: str, machine: str, pid: int) -> None:
        """Note that a service is alive now."""
        now = self._now()
        known = update(services).where(services.c.id == service_id).values(heartbeat_at=now)
        with self._database.write() as connection:
            # A further beat changes nothing that a page shows; only the first one of a service does.
            if connection.execute(known).rowcount == 0:
                values = {"id": service_id, "machine": machine, "pid": pid, "started_at": now, "heartbeat_at": now}
                connection.execute(insert(services), values)
                touch(connection)

    def retire(self, service_id: str) -> None:
        """Forget a service that ends in an orderly way."""
        with self._database.write() as connection:
            connection.execute(delete(services).where(services.c.id == service_id))
            touch(connection)

    def services(self, alive_within_s: float | None = None) -> list[ServiceRecord]:
        """Return known services, only those that beat within that time if given."""
        statement = select(services).order_by(services.c.started_at, services.c.id)
        if alive_within_s is not None:
            statement = statement.where(services.c.heartbeat_at >= self._now() - timedelta(seconds=alive_within_s))
        with self._database.read() as connection:
            return [ServiceRecord(**row) for row in connection.execute(statement).mappings()]

    def describe_machine(self, machine: MachineRecord) -> None:
        """Store what a machine is and can do, replacing its earlier description."""
        values = {
            "machine": machine.machine,
            "environment": rows.document(machine.environment),
            "capabilities": _CAPABILITIES.dump_json(machine.capabilities).decode(),
            "seen_at": machine.seen_at,
        }
        with self._database.write() as connection:
            connection.execute(delete(machines).where(machines.c.machine == machine.machine))
            connection.execute(insert(machines), values)
            touch(connection)

    def machines(self) -> list[MachineRecord]:
        """Return all machines, the last seen first."""
        statement = select(machines).order_by(machines.c.seen_at.desc(), machines.c.machine)
        with self._database.read() as connection:
            return [
                MachineRecord(
                    machine=row.machine,
                    environment=Environment.model_validate_json(row.environment),
                    capabilities=_CAPABILITIES.validate_json(row.capabilities),
                    seen_at=row.seen_at,
                )
                for row in connection.execute(statement)
            ]
