"""Answering as often as possible for a while, alone or as one end of a pipeline."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from time import perf_counter
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.measure.disturbance import pin_threads
from engine.measure.jobs import InferenceJob
from engine.measure.turns import Partner

Values = dict[str, NDArray[np.generic]]
Answer = Callable[[Values], Values]
WARM_QUERIES = 20
_LENGTH_BYTES = 8


def stream(answer: Answer, queries: Sequence[Values], job: InferenceJob, partner: Partner) -> Values:
    """Warm up, wait until all processes have, answer for ``job.min_seconds``, and return how many samples that were.

    A front warms up on the same queries as a whole model and drops what comes out; the back is warmed by the first that
    arrive, which are not counted.

    Returns:
        ``samples`` and the ``seconds`` that they took.
    """
    if job.part != "back":
        for query in queries[:WARM_QUERIES]:
            answer(query)
    pin_threads(job.cores)
    partner.hand_over(enough=False, query_s=0.0)
    if job.part == "back":
        with os.fdopen(_pipe_of(job), "rb") as source:
            return _receive(answer, source)
    if job.part == "front":
        with os.fdopen(_pipe_of(job), "wb") as sink:
            return _repeat(lambda query: send(sink, answer(query)), queries, job.min_seconds)
    return _repeat(answer, queries, job.min_seconds)


def _repeat(answer: Callable[[Values], object], queries: Sequence[Values], seconds: float) -> Values:
    """Answer one query after the other for so long."""
    samples, started = 0, perf_counter()
    for query in cycle(queries):
        if perf_counter() - started >= seconds:
            break
        answer(query)
        samples += _size(query)
    return {"samples": np.asarray(samples), "seconds": np.asarray(perf_counter() - started)}


def _receive(answer: Answer, source: BinaryIO) -> Values:
    """Answer what arrives until nothing more does; the first few warm up."""
    samples, started = 0, perf_counter()
    for number, values in enumerate(received(source)):
        answer(values)
        samples += _size(values)
        if number == WARM_QUERIES - 1:
            samples, started = 0, perf_counter()
    return {"samples": np.asarray(samples), "seconds": np.asarray(perf_counter() - started)}


def send(sink: BinaryIO, values: Values) -> None:
    """Write named arrays as one message: its length, then each name on a line and its array in NumPy's own format."""
    message = io.BytesIO()
    for name, array in values.items():
        message.write(f"{name}\n".encode())
        np.lib.format.write_array(message, np.ascontiguousarray(array), allow_pickle=False)
    data = message.getvalue()
    sink.write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)
    sink.flush()


def received(source: BinaryIO) -> Iterator[Values]:
    """Yield what :func:`send` wrote, until the other end is closed."""
    while len(head := source.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        length = int.from_bytes(head, "little")
        message, values = io.BytesIO(source.read(length)), Values()
        while name := message.readline():
            values[name.decode().rstrip("\n")] = np.lib.format.read_array(message, allow_pickle=False)
        yield values


def _size(query: Values) -> int:
    """Return how many samples a batch has."""
    return len(next(iter(query.values())))


def _pipe_of(job: InferenceJob) -> int:
    if job.pipe is None:
        raise ValueError("a part of a model needs a pipe to the other part")
    return job.pipe
