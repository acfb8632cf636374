"""The sentence a person came for: what speed can I buy for this model, and what accuracy does it cost me?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.analysis.frontier import MeasuredRun, is_baseline, variant_name
from engine.analysis.pareto import SMALLEST_DIFFERENCE
from engine.analysis.presets import ANY, BOUND, Preset
from engine.analysis.wording import Say, in_english, retold
from engine.results import Interval, Metric
from engine.units import format_ms, format_ratio, format_share

SIGNIFICANT_P = 0.05
NOTHING = Metric(value=None)
TIED = "{ratio} as fast as the baseline, accuracy tied"
TIED_IN_BOTH = "{ratio} as fast as the baseline, accuracy and perplexity tied"
COSTS = "Every faster variant so far costs accuracy; the least loss"
COSTS_QUALITY = "Every faster variant so far costs accuracy or perplexity; the least loss"
NO_FASTER = "No variant is clearly faster than the baseline yet"
NO_FASTER_THAT_KEEPS = "No variant that keeps {bound} is clearly faster than the baseline yet"
NONE_KEEPS = "No variant keeps {bound} yet"
ONLY_BASELINE = "Only the baseline has been measured"
WORDS = (TIED, TIED_IN_BOTH, COSTS, COSTS_QUALITY, NO_FASTER, NO_FASTER_THAT_KEEPS, NONE_KEEPS, ONLY_BASELINE)
TRY_ANOTHER = "Try another technique or backend."
ALLOW_MORE = "Allow a larger loss, or try another technique."
QUEUE_ONE = "Queue a variant to see what speed can be bought."
ADVICE = (TRY_ANOTHER, ALLOW_MORE, QUEUE_ONE)


@dataclass(frozen=True)
class Answer:
    """The best run of one model: the fastest whose answers are not worse than the baseline's."""

    model: str
    run_id: int | None
    words: str
    """A few words with places for values, one of :data:`WORDS`."""
    values: Mapping[str, str]
    detail: str
    """The run and its numbers with their intervals in one sentence, or what to do next, one of :data:`ADVICE`."""

    @property
    def headline(self) -> str:
        """A few words, ``"4.10x as fast as the baseline, accuracy tied"``."""
        return self.told()

    def told(self, say: Say = in_english) -> str:
        """Return the headline in the reader's language."""
        return say(self.words).format(**{name: retold(value, (BOUND,), say) for name, value in self.values.items()})


def answers(runs: Sequence[MeasuredRun], preset: Preset = ANY, say: Say = in_english) -> list[Answer]:
    """Return one answer a model, in the order in which the models first appear; only runs the preset keeps can win."""
    models = dict.fromkeys(run.model for run in runs)
    return [_answer(model, [run for run in runs if run.model == model], preset, say) for model in models]


def is_accuracy_tied(run: MeasuredRun) -> bool:
    """Tell whether accuracy is not worse than the baseline's: McNemar's p above 5 %, or a loss of at most 1 point."""
    change = run.metrics.get("accuracy_change", NOTHING).value
    p_value = run.metrics.get("mcnemar_p", NOTHING).value
    if change is None:
        return False
    return change >= -SMALLEST_DIFFERENCE or (p_value is not None and p_value > SIGNIFICANT_P)


def is_perplexity_worse(run: MeasuredRun) -> bool:
    """Tell whether perplexity is worse than the baseline's by more than chance and more than 1 %.

    A few hundred last words decide little about accuracy; the paired ratio of perplexities sees what they do not.
    """
    ratio = run.metrics.get("perplexity_ratio", NOTHING)
    return ratio.value is not None and ratio.value > 1 + SMALLEST_DIFFERENCE and _is_above_one(ratio)


def is_quality_tied(run: MeasuredRun) -> bool:
    """Tell whether neither accuracy nor, where a run has one, perplexity is worse than the baseline's."""
    return is_accuracy_tied(run) and not is_perplexity_worse(run)


def _is_above_one(ratio: Metric) -> bool:
    return ratio.ci95 is None or ratio.ci95[0] > 1


def is_faster(run: MeasuredRun) -> bool:
    """Tell whether a run beats its baseline by more than chance and more than 1 %."""
    speedup = run.metrics.get("speedup", NOTHING)
    if speedup.value is None or speedup.ci95 is None:
        return False
    return speedup.ci95[0] > 1 and speedup.value > 1 + SMALLEST_DIFFERENCE


def describe_change(run: MeasuredRun, say: Say = in_english) -> str:
    """Return the change against the baseline: ``"+0.4 points, tied"``; a worse perplexity is said behind it."""
    change = run.metrics.get("accuracy_change", NOTHING).value
    if change is None:
        return say("not compared")
    p_value = run.metrics.get("mcnemar_p", NOTHING).value
    differs = p_value is not None and p_value <= SIGNIFICANT_P and abs(change) > SMALLEST_DIFFERENCE
    word = say("tied") if not differs else say("better") if change > 0 else say("worse")
    text = say("{change}, {verdict}").format(change=format_points(change, say), verdict=word)
    if not is_perplexity_worse(run):
        return text
    ratio = format_ratio(run.metrics["perplexity_ratio"].value)
    return say("{text}; perplexity {ratio}, worse").format(text=text, ratio=ratio)


def format_points(change: float | None, say: Say = in_english) -> str:
    """Return a difference of two shares in percentage points with its sign, ``"+0.4 points"``."""
    if change is None:
        return "n/a"
    rounded = round(change * 100, 1)
    sign = "+" if rounded > 0 else "−" if rounded else "±"  # noqa: RUF001 - the minus sign is meant
    return say("{n} points").format(n=f"{sign}{abs(rounded):.1f}")


def format_ratio_interval(metric: Metric) -> str:
    """Return a speed-up with its interval, ``"4.10x [3.80, 4.40]"``."""
    return format_ratio(metric.value) + _interval(metric.ci95, format_ratio)


def format_share_interval(metric: Metric) -> str:
    """Return a share with its interval, ``"85.9 % [84.0 %, 87.6 %]"``."""
    return format_share(metric.value) + _interval(metric.ci95, format_share)


def format_ms_interval(metric: Metric) -> str:
    """Return a latency with its interval, ``"1.62 ms [1.58 ms, 1.70 ms]"``."""
    return format_ms(metric.value) + _interval(metric.ci95, format_ms)


def _interval(interval: Interval | None, write: Callable[[float], str]) -> str:
    if interval is None:
        return ""
    return f" [{write(interval[0])}, {write(interval[1])}]"


def _answer(model: str, runs: Sequence[MeasuredRun], preset: Preset, say: Say) -> Answer:
    measured = [run for run in runs if not is_baseline(run)]
    candidates = [run for run in measured if preset.keeps(run)]
    good = [run for run in candidates if is_faster(run) and is_quality_tied(run)]
    if good:
        best = max(good, key=_speedup)
        ratio = format_ratio(best.metrics["speedup"].value)
        return Answer(model, best.id, TIED_IN_BOTH if _wavers(best) else TIED, {"ratio": ratio}, _detail(best, say))
    faster = [run for run in candidates if is_faster(run)]
    if faster:
        best = min(faster, key=_loss)
        return Answer(model, best.id, COSTS_QUALITY if _wavers(best) else COSTS, {}, _detail(best, say))
    bound = {"bound": preset.bound}
    if candidates:
        return Answer(model, None, NO_FASTER_THAT_KEEPS if preset.bound else NO_FASTER, bound, TRY_ANOTHER)
    if measured:
        return Answer(model, None, NONE_KEEPS, bound, ALLOW_MORE)
    return Answer(model, None, ONLY_BASELINE, {}, QUEUE_ONE)


def _wavers(run: MeasuredRun) -> bool:
    """Tell whether a run has a perplexity."""
    return run.metrics.get("perplexity_ratio", NOTHING).value is not None


def _loss(run: MeasuredRun) -> float:
    """Return what a run loses: perplexity where it has one, because that is known more exactly, else accuracy."""
    change = run.metrics.get("accuracy_change", NOTHING).value
    ratio = run.metrics.get("perplexity_ratio", NOTHING).value
    return ratio if ratio is not None else -change if change is not None else 1.0


def _speedup(run: MeasuredRun) -> float:
    return run.metrics.get("speedup", NOTHING).value or 0.0


def _detail(run: MeasuredRun, say: Say) -> str:
    speedup = format_ratio_interval(run.metrics.get("speedup", NOTHING))
    latency = format_ms(run.metrics.get("latency_p50_ms", NOTHING).value)
    accuracy = format_share(run.metrics.get("accuracy", NOTHING).value)
    words = say("{variant}: {speedup}, {latency} a query, accuracy {accuracy} ({change})")
    return words.format(
        variant=variant_name(run, say),
        speedup=speedup,
        latency=latency,
        accuracy=accuracy,
        change=describe_change(run, say),
    )
