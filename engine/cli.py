"""The ``subsecond`` command. Exit code 0: done; 1: the run failed; 2: the request was wrong."""

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from engine import asking, keeping, present, serving, studies
from engine import selfcheck as instrument
from engine.analysis.export import csv_table
from engine.analysis.exported import on_frontier
from engine.analysis.frontier import default_x, frontier_info
from engine.analysis.presets import ANY, parse_preset
from engine.backends import BACKENDS
from engine.datasets import DATASETS
from engine.entrance import Entrance
from engine.errors import InvalidValueError, RequestError, StoreError, SubsecondError
from engine.keeping import DEFAULT_DB, EXIT_FAILED, Db, Json, err, opened, out
from engine.measure.environment import machine_id
from engine.metrics import METRICS
from engine.models import MODELS, find_model
from engine.models.weights import fetch as fetch_weights
from engine.observe import begin_logging, status_served
from engine.registry import Registry
from engine.resolve import resolve
from engine.results import RunRecord, Status
from engine.scenarios import SCENARIOS
from engine.spec import Effort, ExperimentSpec, Task
from engine.store.selection import RunFilter
from engine.store.store import RunSummary, Store
from engine.supervision import Restarts
from engine.techniques import TECHNIQUES

EXIT_REFUSED = 2
DEMO, SELFCHECK_MODEL = "demo", "fashion-cnn"

app = typer.Typer(
    name="subsecond",
    help="What speed can I buy for this model, and what accuracy does it cost me?\n\n"
    "Start with: subsecond demo (a page with a real study), or: subsecond run minilm-l6 -t int8-dynamic "
    "--backend onnxruntime",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(keeping.backends, name="backend")
Host = Annotated[str, typer.Option(help="Address to serve the page on; others need --tokens or --oidc.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to serve the page on.")]
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8501


class Listable(StrEnum):
    """What ``list`` can list."""

    MODELS = "models"
    DATASETS = "datasets"
    TECHNIQUES = "techniques"
    BACKENDS = "backends"
    SCENARIOS = "scenarios"
    METRICS = "metrics"


_REGISTRIES: dict[Listable, Registry[Any]] = {
    Listable.MODELS: MODELS,
    Listable.DATASETS: DATASETS,
    Listable.TECHNIQUES: TECHNIQUES,
    Listable.BACKENDS: BACKENDS,
    Listable.SCENARIOS: SCENARIOS,
    Listable.METRICS: METRICS,
}


@app.command()
def demo(
    db: Db = DEFAULT_DB,
    host: Host = DEFAULT_HOST,
    port: Port = DEFAULT_PORT,
    headless: Annotated[bool, typer.Option(help="No page: run the demo study to its end and print it.")] = False,
) -> None:
    """Start engine and page, and queue the demo study if this machine has no runs of it yet."""
    if not headless:
        serving.check_address(host, port)
    with opened(db) as store:
        ids = [] if _has_demo(store) else store.enqueue(studies.demo_specs(), DEMO)
        if headless:
            _finish(_follow(store, ids), as_json=False)
        else:
            _serve(store, db, host, port)


@app.command()
def serve(
    db: Db = DEFAULT_DB,
    host: Host = DEFAULT_HOST,
    port: Port = DEFAULT_PORT,
    status_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Answer /healthz and /metrics on this port; 0 does not.")
    ] = 0,
    tokens: Annotated[Path | None, typer.Option(help="File of those who may open it: ROLE NAME TOKEN a line.")] = None,
    oidc: Annotated[Path | None, typer.Option(help="TOML file of an identity provider, [auth], and [roles].")] = None,
) -> None:
    """Start engine and page; one Ctrl-C stops both."""
    entrance = Entrance(tokens, oidc)
    serving.check_address(host, port, entrance)
    restarts = Restarts()
    with opened(db) as store, status_served(store, status_port, restarts):
        _serve(store, db, host, port, entrance, restarts)


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="Catalog name, local folder or hub id.")],
    dataset: Annotated[
        str | None, typer.Option(help="Catalog name[:samples=N], or FILE.csv:text=COLUMN,label=COLUMN.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the model is for, if the name does not tell.")] = None,
    technique: Annotated[
        list[str] | None, typer.Option("-t", "--technique", help="NAME[:key=value,...]; repeat it for a stack.")
    ] = None,
    backend: Annotated[str, typer.Option(help="NAME[:key=value,...].")] = "torch",
    effort: Annotated[Effort, typer.Option(help="How many fresh process pairs: 3, 5 or 10.")] = Effort.QUICK,
    scenario: Annotated[
        str,
        typer.Option(
            help="single-stream, offline[:largest_batch=N], server[:bound_ms=N,rate_per_s=N], or, of a language model, "
            "response[:prompt_tokens=N,new_tokens=N]."
        ),
    ] = "single-stream",
    batch_size: Annotated[int, typer.Option(min=1, max=1024, help="Samples in one query.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of training and sampling.")] = 0,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Prepare, time and score one variant."""
    spec = resolve(
        model=model,
        dataset=dataset,
        task=task,
        techniques=[studies.parse_choice(text) for text in technique or []],
        backend=studies.parse_choice(backend),
        effort=effort,
        scenario=studies.parse_choice(scenario),
        batch_size=batch_size,
        seed=seed,
    )
    with opened(db) as store:
        _finish(_follow(store, store.enqueue([spec])), as_json=json)


@app.command()
def sweep(
    study: Annotated[Path, typer.Argument(help="STUDY.yaml: a name and experiments; lists make a grid.")],
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Run all experiments of a study that this machine has not run yet."""
    parsed = studies.read_study(study)
    for reason in parsed.left_out:
        err.print(f"[yellow]left out[/] {escape(reason)}", highlight=False)
    with opened(db) as store:
        new = [spec for spec in parsed.experiments if not _done_before(store, spec)]
        known = len(parsed.experiments) - len(new)
        err.print(f"{parsed.name}: {len(new)} runs to do, {known} done before")
        _finish(_follow(store, store.enqueue(new, parsed.name) if new else []), as_json=json)


@app.command("list")
def list_(
    what: Annotated[Listable, typer.Argument(help="What to list.")], db: Db = DEFAULT_DB, json: Json = False
) -> None:
    """List what can be chosen, with parameters."""
    del db  # every command takes it, so that scripts may pass it everywhere
    rows = present.registry_rows(_REGISTRIES[what])
    _print(rows, json, lambda: present.registry_table(rows))


@app.command()
def runs(db: Db = DEFAULT_DB, json: Json = False) -> None:
    """List all runs, the newest last."""
    with opened(db) as store:
        rows = store.summaries()
        _print([present.summary_document(row) for row in rows], json, lambda: present.runs_table(rows))


@app.command()
def show(
    run: Annotated[int, typer.Argument(help="Number of the run.")], db: Db = DEFAULT_DB, json: Json = False
) -> None:
    """Show everything about one run."""
    with opened(db) as store:
        record = store.run(run)
        _print(present.run_document(record), json, lambda: "\n".join(present.run_lines(record)))


@app.command()
def ask(
    run: Annotated[int, typer.Argument(help="Number of a finished run of a language model.")],
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest answer.")] = 64,
    raw: Annotated[bool, typer.Option(help="Continue the prompt as it is, without the chat template.")] = False,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Let a run's baseline and its variant answer the same prompt, one after the other."""
    with opened(db) as store:
        spec = store.run(run).spec
    if spec.task is not Task.TEXT_GENERATION:
        raise InvalidValueError(f"Run {run} is of {spec.task}; only a language model answers in words.")
    side = None
    for reply in asking.ask(asking.Inquiry(spec=spec, prompt=prompt, new_tokens=new_tokens, raw=raw)):
        if json:
            out.out(reply.model_dump_json())
        else:
            side = present.show_reply(reply, side, out)
        if reply.error:
            raise typer.Exit(EXIT_FAILED)


@app.command()
def cancel(run: Annotated[int, typer.Argument(help="Number of the run.")], db: Db = DEFAULT_DB) -> None:
    """Cancel a queued or running run."""
    with opened(db) as store:
        status = store.request_cancel(run)
        out.print(f"run {run}: {'cancelled' if status is Status.CANCELLED else 'will be stopped by its engine'}")


@app.command()
def frontier(
    model: Annotated[str | None, typer.Option(help="Only runs of this model.")] = None,
    keep: Annotated[str, typer.Option(help="Only runs that keep this share of the baseline's accuracy.")] = ANY.name,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Print the Pareto frontier of latency against accuracy, one context after the other."""
    if model is not None:
        find_model(model)
    preset = parse_preset(keep)
    with opened(db) as store:
        documents = []
        for context, _ in store.contexts():
            summaries = store.summaries(status=[Status.DONE], context_key=context.key)
            of_model = [row for row in summaries if model in (None, row.model)]
            chosen: Sequence[RunSummary] = [row for row in of_model if preset.keeps(row)]
            if not chosen:
                continue
            info = frontier_info(chosen, default_x(context.scenario))
            documents.append(present.frontier_document(context, info))
            if not json:
                place = f"{context.device}, {context.threads} threads"
                out.print(f"{context.task}, {context.dataset}, {place}, {context.scenario}")
                out.print(present.frontier_table(info))
        if json:
            out.out(present.as_json(documents))
        elif not documents:
            out.print("There are no finished runs yet. Start with: subsecond demo")


@app.command()
def export(csv: Annotated[Path, typer.Option(help="File to write.")], db: Db = DEFAULT_DB) -> None:
    """Write all runs as one CSV table."""
    with opened(db) as store:
        with store.snapshot() as seen:
            table = csv_table(seen.exported(RunFilter()), on_frontier(seen))
        try:
            with csv.open("w", encoding="utf-8", newline="") as file:
                file.writelines(table.pieces)
        except OSError as error:
            raise RequestError(f"'{csv}' cannot be written ({error.strerror}). Choose another file.") from error
    err.print(f"{table.runs} runs written to {csv}")


@app.command()
def fetch(model: Annotated[str, typer.Argument(help="Catalog name, or 'all'.")], db: Db = DEFAULT_DB) -> None:
    """Fetch and check the weights of a model, so that its first run does not have to."""
    del db  # every command takes it, so that scripts may pass it everywhere
    for entry in MODELS if model == "all" else [find_model(model)]:
        with err.status(f"fetching {entry.name}"):
            folder = fetch_weights(entry)
        out.print(f"{entry.name}: {'checked, ready' if folder else 'trained here, nothing to fetch'}")


@app.command()
def selfcheck(
    model: Annotated[str, typer.Option(help="Catalog name of the model to measure with.")] = SELFCHECK_MODEL,
    backend: Annotated[str, typer.Option(help="NAME[:key=value,...].")] = "onnxruntime",
    effort: Annotated[Effort, typer.Option(help="How many fresh process pairs: 3, 5 or 10.")] = Effort.STANDARD,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Prove on this machine that equal things come out tied and known differences are found; about two minutes."""
    spec = resolve(model=model, backend=studies.parse_choice(backend), effort=effort)
    with opened(db) as store, err.status("preparing") as status:
        record = instrument.selfcheck(spec, lambda _, text: status.update(text))
        store.save_selfcheck(record)
    _print(present.selfcheck_document(record), json, lambda: present.selfcheck_table(record))
    if not record.passed:
        raise typer.Exit(EXIT_FAILED)


for upkeep in (keeping.doctor, keeping.backup, keeping.restore, keeping.pause, keeping.resume):
    app.command()(upkeep)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; every expected error becomes one sentence and an exit code."""
    begin_logging()
    try:
        app(arguments)
    except (RequestError, StoreError) as error:
        err.print(str(error), style="red", highlight=False, markup=False)
        sys.exit(EXIT_REFUSED)
    except SubsecondError as error:
        err.print(str(error), style="red", highlight=False, markup=False)
        sys.exit(EXIT_FAILED)


def _serve(
    store: Store,
    database: str,
    host: str,
    port: int,
    entrance: Entrance | None = None,
    restarts: Restarts | None = None,
) -> None:
    """Serve the page and run the engine until somebody stops them."""
    location = database if "://" in database else str(Path(database).resolve())
    with serving.dashboard(location, host, port, entrance, restarts) as page:
        serving.serve_until_stopped(
            store, lambda: out.print(f"Subsecond is at {page.address}  (Ctrl-C stops it)", highlight=False), restarts
        )


def _has_demo(store: Store) -> bool:
    """Tell whether this machine ran, runs or is about to run the demo study."""
    here = (None, machine_id())
    states = (Status.QUEUED, Status.RUNNING, Status.DONE)
    return any(row.study == DEMO and row.machine in here for row in store.summaries(status=states))


def _done_before(store: Store, spec: ExperimentSpec) -> bool:
    found = store.find(spec.fingerprint, machine_id())
    return found is not None and found.status is Status.DONE


def _follow(store: Store, ids: Sequence[int]) -> list[RunRecord]:
    """Wait for runs behind a progress bar on standard error."""
    if not ids:
        return []
    with present.progress(err, len(ids)) as update:
        return serving.follow(store, ids, update)


def _finish(records: Sequence[RunRecord], *, as_json: bool) -> None:
    """Print ended runs and set the exit code."""
    if as_json:
        documents = [present.run_document(record) for record in records]
        out.out(present.as_json(documents[0] if len(documents) == 1 else documents))
    else:
        for record in records:
            out.print("\n".join(present.run_lines(record)), highlight=False, markup=False)
    if any(record.status is not Status.DONE for record in records):
        raise typer.Exit(EXIT_FAILED)


def _print(document: Any, as_json: bool, table: Callable[[], Any]) -> None:
    """Print one document, or the table made of it."""
    if as_json:
        out.out(present.as_json(document))
    else:
        out.print(table(), highlight=False, markup=False)


if __name__ == "__main__":
    main()
