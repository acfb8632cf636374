"""What is good enough: runs may be asked to keep a share of their baseline's accuracy, as MLPerf's two targets do."""

from engine.analysis.frontier import MeasuredRun
from engine.registry import Registry
from engine.results import Metric
from engine.spec import Frozen

ROUNDING = 1e-9
"""Accuracies are ratios of counts; a run exactly at the bound must not fall below it by a rounding error."""

BOUND = "{share} % of the baseline's accuracy"


class Preset(Frozen):
    """A lowest share of the baseline's accuracy that a run must keep; ``None`` asks for nothing."""

    name: str
    title: str
    minimum_share: float | None = None

    def keeps(self, run: MeasuredRun) -> bool:
        """Tell whether a run is good enough; one that was not compared with its baseline has not shown that it is.

        The baseline's accuracy is the run's own minus its change, because both were scored on the same samples.
        """
        if self.minimum_share is None:
            return True
        accuracy, change = (run.metrics.get(name, Metric(value=None)).value for name in ("accuracy", "accuracy_change"))
        if accuracy is None or change is None:
            return False
        return accuracy >= self.minimum_share * (accuracy - change) - ROUNDING

    @property
    def bound(self) -> str:
        """The bound in words, ``"99.9 % of the baseline's accuracy"``; empty where there is none."""
        return "" if self.minimum_share is None else BOUND.format(share=self.name)


ANY = Preset(name="any", title="Any accuracy")
PRESETS: Registry[Preset] = Registry("preset")
for _preset in (
    ANY,
    Preset(name="99", title="≥ 99 % of baseline", minimum_share=0.99),
    Preset(name="99.9", title="≥ 99.9 %", minimum_share=0.999),
):
    PRESETS.add(_preset)


def parse_preset(text: str) -> Preset:
    """Return the preset a person names: ``"any"``, ``"99"``, ``"99.9"``, with or without a percent sign.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return PRESETS.get(text.strip().lower().removesuffix("%").rstrip())
