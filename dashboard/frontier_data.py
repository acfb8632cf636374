"""What the start page shows, worked out of the finished runs once for all who look and for every rerun."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import state
from dashboard.language import language, wording
from dashboard.plot_choices import Offer
from engine.analysis.answer import Answer, answers
from engine.analysis.frontier import FrontierInfo, frontier_info
from engine.analysis.hypervolume import Growth, growth
from engine.analysis.presets import Preset
from engine.analysis.suite import AcrossModels, across_models, same_conditions
from engine.results import Context
from engine.store.store import RunSummary, Store

ALL = "all"
"""Stands for every model."""


def offer(store: Store, context: Context) -> Offer:
    """Return what can be chosen about the plot of a context."""
    return state.made(store, lambda: Offer.of(state.runs_of(store, context.key)), "offer", context.key)


def suite(store: Store, contexts: Sequence[Context], context: Context) -> list[AcrossModels]:
    """Return every variant of two or more models, measured under the same conditions as a context."""
    alike = same_conditions(contexts, context)
    return state.made(
        store,
        lambda: across_models(run for each in alike for run in state.runs_of(store, each.key)),
        "suite",
        context.key,
    )


@dataclass(frozen=True)
class Shown:
    """Which runs of a context the viewer wants to see."""

    store: Store
    context: Context
    model: str
    """Name of a model, or :data:`ALL`."""
    preset: Preset

    @property
    def name(self) -> str:
        """What tells these runs from others."""
        return "/".join((self.context.key, self.model, self.preset.name))

    @property
    def measured(self) -> Sequence[RunSummary]:
        """All runs of the model, good enough or not."""
        return state.made(self.store, self._measured, "measured", self.context.key, self.model)

    @property
    def runs(self) -> Sequence[RunSummary]:
        """Those that keep enough of their baseline's accuracy."""
        return state.made(self.store, lambda: [run for run in self.measured if self.preset.keeps(run)], self.name)

    @property
    def answers(self) -> list[Answer]:
        """What speed each model gives, in the viewer's language."""
        say = wording()
        return state.made(
            self.store, lambda: answers(self.measured, self.preset, say), "answers", self.name, language()
        )

    def info(self, x: str, y: str) -> FrontierInfo:
        """Return the frontier of two metrics."""
        return state.made(self.store, lambda: frontier_info(self.runs, x, y), "frontier", self.name, x, y)

    def growth(self, x: str, y: str, *, log_x: bool) -> Growth:
        """Return how the covered share of the plot grew run by run."""
        whole = self.info(x, y)
        return state.made(self.store, lambda: growth(whole, log_x=log_x), "growth", self.name, x, y, str(log_x))

    def _measured(self) -> Sequence[RunSummary]:
        everything = state.runs_of(self.store, self.context.key)
        return [run for run in everything if self.model in (ALL, run.model)]
