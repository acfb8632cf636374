"""What people ask of the engines from a page or a terminal: to pause, and to go on."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from engine.store.audit import audited
from engine.store.database import touch
from engine.store.part import Part
from engine.store.tables import control


@dataclass(frozen=True)
class Control:
    """Whether engines are asked to pause, who last changed that, and when."""

    paused: bool
    who: str | None = None
    since: datetime | None = None


class Pausing(Part):
    """The switch that every engine of this database looks at before it begins something new.

    What runs goes on to its end. An engine that was started for certain runs alone does not look at it.
    """

    def control(self) -> Control:
        """Return how the switch stands."""
        statement = select(control.c.paused, control.c.who, control.c.since)
        with self._database.read() as connection:
            row = connection.execute(statement).one()
        return Control(row.paused, row.who, row.since)

    @audited()
    def pause(self) -> None:
        """Ask the engines to begin nothing new; one who asked before stays named."""
        self._turn(paused=True)

    @audited()
    def resume(self) -> None:
        """Let the engines begin again what waits."""
        self._turn(paused=False)

    def _turn(self, *, paused: bool) -> None:
        values = {"paused": paused, "who": self._actor, "since": self._now()}
        with self._database.write() as connection:
            if connection.execute(update(control).where(control.c.paused != paused).values(values)).rowcount:
                touch(connection)
