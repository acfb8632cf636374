"""What a reader must know before believing a number: the code and the words of every warning."""

from dataclasses import dataclass

from engine.results import Warning


@dataclass(frozen=True)
class Caution:
    """One reason to doubt a measurement; a record keeps its sentence with the values filled in."""

    code: str
    """Stable, for programs."""
    words: str
    """With places for values, each of them a text."""

    def __call__(self, **values: str) -> Warning:
        """Return the warning with these values."""
        return Warning(code=self.code, message=self.words.format(**values))


UNEXPLAINED = Caution(
    "unexplained",
    "The runtime's profiler failed, so nothing is said of why it is fast or slow; the run's log says why.",
)
UNSTABLE = Caution("unstable", "The standard deviation is {share} of the mean: trust the median, or run again.")
WIDE_RANGE = Caution(
    "wide-range",
    "Single queries took {low} to {high} ms around a mean of {mean} ms; look at the distribution before quoting a "
    "tail.",
)
SHORT = Caution(
    "short",
    "One query takes {mean} ms: calls and interrupts weigh as much as the model; compare speed-ups rather than "
    "milliseconds.",
)
FEW_PROCESSES = Caution(
    "few-processes",
    "{n} processes do not fix the median to 1 %: raise the effort to tell close variants apart.",
)
FOREIGN_LOAD = Caution(
    "noisy",
    "Other programs used {share} of the cores while this was timed; run it again on a quiet machine.",
)
STEAL = Caution(
    "noisy",
    "The hypervisor took away {share} of the cores while this was timed; run it again on a quiet machine.",
)
MIGRATIONS = Caution(
    "noisy",
    "Threads moved between cores {n} times a second while this was timed; run it again on a quiet machine.",
)
DRIFT = Caution(
    "noisy",
    "The cores' speed moved by {share} while this was timed; run it again on a quiet machine.",
)
UNWATCHED = Caution("unwatched", "This machine does not show what other programs do: a foreign load goes unseen.")
NOT_PINNED = Caution(
    "not-pinned", "The processes could not be held on fixed cores here; expect a wider spread from run to run."
)
NOT_NUMBERS = Caution("nan", "{share} of the answers are not numbers: do not use this variant.")
COLLAPSE = Caution("collapse", "Accuracy fell by {loss}, over a tenth of the baseline's {baseline}.")
ONE_CLASS = Caution("one-class", "{share} of the answers are the same class.")
OTHER_ANSWERS = Caution(
    "numerical",
    "The exported model answers {share} of {n} samples differently from the model it was made from (largest difference "
    "{difference}).",
)
OTHER_TOKENS = Caution(
    "numerical",
    "The exported model answers {share} of {n} next tokens differently from the model it was made from (largest "
    "difference {difference}).",
)
CAUTIONS = (
    *(UNEXPLAINED, UNSTABLE, WIDE_RANGE, SHORT, FEW_PROCESSES, FOREIGN_LOAD, STEAL, MIGRATIONS, DRIFT, UNWATCHED),
    *(NOT_PINNED, NOT_NUMBERS, COLLAPSE, ONE_CLASS, OTHER_ANSWERS, OTHER_TOKENS),
)
