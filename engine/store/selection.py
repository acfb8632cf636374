"""Which runs are meant: the filters of a list, as one condition on the table of runs."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Integer, and_, cast, func, or_, select
from sqlalchemy import true as always

from engine.results import Status
from engine.store.tables import runs, tags

RUN, STUDY = "run", "study"


@dataclass(frozen=True)
class RunFilter:
    """What a run must be to be listed; an empty field asks for nothing."""

    status: tuple[Status, ...] = ()
    models: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    """Names without options."""
    tags: tuple[str, ...] = ()
    """All of them must be on the run or on its study."""
    words: str = ""
    """Each word must be in model, data, techniques, backend or study; upper and lower case are the same."""

    def condition(self) -> ColumnElement[bool]:
        """Return this filter as a condition on ``runs``."""
        parts = [
            always(),
            *([runs.c.status.in_(self.status)] if self.status else []),
            *([runs.c.model.in_(self.models)] if self.models else []),
            *([runs.c.study.in_(self.studies)] if self.studies else []),
            *([or_(*(_is_backend(name) for name in self.backends))] if self.backends else []),
            *(_has_tag(tag) for tag in self.tags),
            *(_has_word(word) for word in self.words.lower().split()),
        ]
        return and_(*parts)


def _is_backend(name: str) -> ColumnElement[bool]:
    return or_(runs.c.backend == name, runs.c.backend.startswith(f"{name}(", autoescape=True))


def _has_tag(tag: str) -> ColumnElement[bool]:
    tagged = select(tags.c.name).where(tags.c.tag == tag)
    own = runs.c.id.in_(tagged.where(tags.c.kind == RUN).with_only_columns(cast(tags.c.name, Integer)))
    return or_(own, runs.c.study.in_(tagged.where(tags.c.kind == STUDY)))


def _has_word(word: str) -> ColumnElement[bool]:
    columns = (runs.c.model, runs.c.dataset, runs.c.techniques, runs.c.backend, runs.c.study)
    return or_(*(func.lower(column).contains(word, autoescape=True) for column in columns))
