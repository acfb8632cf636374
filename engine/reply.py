"""``python -m engine.reply INQUIRY.json``: both sides of a run answer a prompt, as JSON lines on standard output.

The artifacts are those the run made, from the cache; what is not there any more is made again first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np

from engine.asking import SIDES, Inquiry, Reply
from engine.backends import BACKENDS
from engine.datasets import load_dataset
from engine.errors import SubsecondError
from engine.measure.lane import quiet_lane
from engine.models.base import Artifact
from engine.models.prompts import chat, end_tokens, load_tokenizer
from engine.preparation import Builder
from engine.quiet import quiet_libraries
from engine.spec import Choice
from engine.stages import Stage, StageCache

EXIT_DONE, EXIT_FAILED = 0, 1
Say = Callable[[Reply], None]


def main(inquiry_file: str) -> int:
    """Answer and return the exit code."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no line of ours
    quiet_libraries()
    inquiry = Inquiry.model_validate_json(Path(inquiry_file).read_text("utf-8"))

    def say(reply: Reply) -> None:
        lines.write(reply.model_dump_json() + "\n")
        lines.flush()

    return EXIT_DONE if answer(inquiry, say) else EXIT_FAILED


def answer(inquiry: Inquiry, say: Say, cache: StageCache | None = None) -> bool:
    """Let baseline and variant answer, one after the other; return whether both could."""
    side = SIDES[0]
    try:
        builder = Builder(inquiry.spec, load_dataset(inquiry.spec.dataset), cache or StageCache(), _frame, _report)
        prepared = {
            "baseline": (builder.baseline(), builder.eager),
            "variant": (builder.candidate().stage, inquiry.spec.backend),
        }
        for side in SIDES:
            stage, backend = prepared[side]
            with quiet_lane(str(backend.params.get("device", "cpu"))):  # it would disturb whoever times there
                for reply in _replies(inquiry, Artifact.read(stage.folder), backend):
                    say(reply.model_copy(update={"side": side}))
    except SubsecondError as error:
        say(Reply(side=side, ended=True, error=str(error)))
        return False
    return True


def _replies(inquiry: Inquiry, artifact: Artifact, choice: Choice) -> Iterator[Reply]:
    """Yield what one side says; it stops at an end of text."""
    backend = BACKENDS.get(choice.name)
    tokenizer, ends = load_tokenizer(artifact.folder), end_tokens(artifact.folder)
    prompt = inquiry.prompt if inquiry.raw else chat(artifact.folder, inquiry.prompt)
    room = artifact.manifest.preprocess.max_length - inquiry.new_tokens
    ids = np.asarray(tokenizer.encode(prompt)[-max(1, room) :], dtype=np.int64)
    generator = backend.load_generator(artifact, backend.options_type.model_validate(choice.params))
    said: list[int] = []
    shown = ""
    started = perf_counter()
    for token in generator.stream(ids, inquiry.new_tokens):
        if token in ends:
            break
        said.append(token)
        whole = tokenizer.decode(said)
        if whole.endswith("\N{REPLACEMENT CHARACTER}"):  # half of a character; the next token completes it
            continue
        yield Reply(side="variant", text=whole[len(shown) :], tokens=len(said), seconds=perf_counter() - started)
        shown = whole
    yield Reply(side="variant", tokens=len(said), seconds=perf_counter() - started, ended=True)


@contextmanager
def _frame(name: str) -> Iterator[Callable[[Stage], Stage]]:
    """Announce nothing: a stage that is not cached any more is made again in silence."""
    del name
    yield lambda stage: stage


def _report(share: float, text: str) -> None:
    del share, text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
