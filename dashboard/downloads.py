"""Files made of many runs when somebody asks for them."""

from collections.abc import Callable

import streamlit as st

from dashboard.language import gettext as _
from engine.analysis.export import csv_table, parquet_bytes
from engine.analysis.exported import on_frontier
from engine.store.selection import RunFilter
from engine.store.store import Store


def everything_as_csv(store: Store, chosen: RunFilter | None = None) -> bytes:
    """Return the runs that a filter lets through, all without one, as CSV."""
    with store.snapshot() as seen:
        table = csv_table(seen.exported(chosen or RunFilter()), on_frontier(seen))
    return "".join(table.pieces).encode()


def everything_as_parquet(store: Store, chosen: RunFilter | None = None) -> bytes:
    """Return the same table as Parquet."""
    with store.snapshot() as seen:
        return parquet_bytes(seen.exported(chosen or RunFilter()), on_frontier(seen))


def buttons(store: Store, page: str, chosen: RunFilter | None = None) -> None:
    """Offer the runs as CSV and Parquet; each file is made when it is asked for.

    Args:
        store: what to read.
        page: first part of the widgets' keys.
        chosen: which runs; all without it.
    """
    what = _("All runs") if chosen is None else _("These runs")
    _offer(f"{what}: CSV", lambda: everything_as_csv(store, chosen), "subsecond-runs.csv", "text/csv", f"{page}_csv")
    parquet = "application/vnd.apache.parquet"
    _offer(
        "Parquet", lambda: everything_as_parquet(store, chosen), "subsecond-runs.parquet", parquet, f"{page}_parquet"
    )


def report_button(make: Callable[[], str], page: str) -> None:
    """Offer what the page shows as one HTML file that opens without network."""
    _offer(_("Report"), lambda: make().encode(), "subsecond-frontier.html", "text/html", f"{page}_report")


def _offer(label: str, make: Callable[[], bytes], name: str, mime: str, key: str) -> None:
    st.download_button(label, make, file_name=name, mime=mime, icon=":material/download:", on_click="ignore", key=key)
