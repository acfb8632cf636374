"""Every error Subsecond raises on purpose, so that callers can tell a wrong request from a failed run.

    SubsecondError
    ├── RequestError            the request is wrong; nothing was started (exit code 2)
    │   ├── UnknownNameError    no such model, dataset, technique, backend, parameter or run
    │   ├── InvalidValueError   a value out of bounds, of the wrong type or not readable
    │   ├── ContradictionError  parts of the request that cannot be combined
    │   └── UnavailableError    possible elsewhere, but not on this machine (a package or device is missing)
    ├── StoreError              the database cannot serve the request (exit code 2)
    │   ├── SchemaError         the database was written by a newer release, or is not ours
    │   ├── ReadOnlyError       the database or its folder cannot be written
    │   └── ForbiddenError      who asks may look on only
    └── RunError                a run failed while it was executed (exit code 1)
        ├── WeightsError        weights are missing, damaged or of a refused format
        ├── DataError           a dataset could not be read or does not fit the model
        ├── TrainingError       fine-tuning, distilling or recovery diverged
        ├── ExportError         a model could not be turned into the backend's format
        ├── MeasurementError    timing or scoring could not be completed
        └── WorkerDiedError     the worker process ended without a result

The message of each says what went wrong, the value it got, and what to do next.
"""

import difflib
from collections.abc import Iterable


class SubsecondError(Exception):
    """Base of all errors raised on purpose; ``str(error)`` is fit for a user's eyes."""


class RequestError(SubsecondError):
    """The request is wrong; nothing was started."""


class UnknownNameError(RequestError):
    """A name that is not in the registry or record it was looked up in."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name = kind, name
        self.known = sorted(known)
        close = difflib.get_close_matches(name, self.known, n=1, cutoff=0.5)
        if close:
            advice = f"Did you mean '{close[0]}'?"
        elif self.known:
            advice = f"Known: {', '.join(self.known)}."
        else:
            advice = "There are none yet."
        super().__init__(f"There is no {kind} '{name}'. {advice}")


class InvalidValueError(RequestError):
    """A value out of bounds, of the wrong type or not readable."""


class ContradictionError(RequestError):
    """Parts of a request that exclude each other."""


class UnavailableError(RequestError):
    """Something this machine cannot do; the message says what would enable it."""


class StoreError(SubsecondError):
    """The database cannot serve the request."""


class SchemaError(StoreError):
    """The database was written by a newer release, or is not a Subsecond database."""


class ReadOnlyError(StoreError):
    """The database or its folder cannot be written."""


class ForbiddenError(StoreError):
    """Who asks may look on only."""


class RunError(SubsecondError):
    """A run failed while it was executed."""


class WeightsError(RunError):
    """Weights are missing, damaged or of a refused format."""


class DataError(RunError):
    """A dataset could not be read or does not fit the model."""


class TrainingError(RunError):
    """Fine-tuning, distilling or recovery diverged or could not start."""


class ExportError(RunError):
    """A model could not be turned into the backend's format."""


class MeasurementError(RunError):
    """Timing or scoring could not be completed."""


class WorkerDiedError(RunError):
    """The worker process ended without a result."""
