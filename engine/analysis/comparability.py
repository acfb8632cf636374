"""Whether runs may share a plot: only within one context, and a mix is refused by name."""

from collections.abc import Iterable

from engine.analysis.wording import Say, in_english
from engine.errors import ContradictionError
from engine.results import Context


def require_one_context(contexts: Iterable[Context]) -> Context:
    """Return the one context that all of ``contexts`` are.

    Raises:
        ContradictionError: if they differ, with the keys in which they do; or if there is none.
    """
    distinct = list({context.key: context for context in contexts}.values())
    if not distinct:
        raise ContradictionError("There is no finished run to plot yet; queue one first.")
    first, *others = distinct
    names = differing_keys(distinct)
    if others:
        described = "; ".join(f"{name}: {_values(distinct, name)}" for name in names)
        raise ContradictionError(f"These runs cannot share a plot, they differ in {described}. Choose one context.")
    return first


def differing_keys(contexts: Iterable[Context]) -> list[str]:
    """Return the names of the keys that are not equal in all contexts, in the order in which a context has them."""
    all_of_them = list(contexts)
    different = {name for other in all_of_them[1:] for name in all_of_them[0].differences(other)}
    return [name for name in Context.model_fields if name in different]


def key_title(name: str, say: Say = in_english) -> str:
    """Return what a person calls a key of a context, ``"Batch size"``."""
    return say(name.replace("_", " ").capitalize())


def context_label(context: Context, cpu_model: str | None = None, say: Say = in_english) -> str:
    """Return what a person calls this context: ``"movie-reviews · batch 1 · cpu, 2 threads · 1,411 test samples"``."""
    threads = say("1 thread") if context.threads == 1 else say("{n} threads").format(n=context.threads)
    device = f"{cpu_model or context.device}, {threads}"
    samples = say("{n} {split} samples").format(n=f"{context.samples:,}", split=say(context.split))
    batch = say("batch {n}").format(n=context.batch_size)
    return " · ".join((context.dataset.partition("@")[0], batch, device, samples))


def context_labels(contexts: Iterable[Context], cpu_models: dict[str, str], say: Say = in_english) -> dict[str, str]:
    """Return one label for each context key; labels that would be equal get the keys that tell them apart.

    Args:
        cpu_models: processor name by machine id, where known.
        say: puts the words into the reader's language.
    """
    all_of_them = list(contexts)
    plain = {context.key: context_label(context, cpu_models.get(context.machine), say) for context in all_of_them}
    labels = dict(plain)
    for context in all_of_them:
        twins = [other for other in all_of_them if plain[other.key] == plain[context.key] and other != context]
        if twins:
            names = differing_keys([context, *twins])
            labels[context.key] += " · " + ", ".join(
                f"{key_title(name, say).lower()} {_short(context, name)}" for name in names
            )
    return labels


def _short(context: Context, name: str) -> str:
    """Return what tells a value from its like: of a data set the hash of its content, of a machine its beginning."""
    text = str(getattr(context, name)).rpartition("@")[2]
    return text[:12] if name in ("dataset", "machine") else text


def _values(contexts: list[Context], name: str) -> str:
    return " and ".join(sorted({str(getattr(context, name)) for context in contexts}))
