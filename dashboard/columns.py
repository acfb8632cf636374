"""How columns of tables are written: numbers of metrics as the registry says, the rest by name."""

from typing import Any

import streamlit as st

from dashboard.language import gettext as _
from engine.analysis.measures import column_title, is_share
from engine.metrics import METRICS
from engine.metrics.base import MetricInfo

FIXED: dict[str, Any] = {
    "Run": st.column_config.NumberColumn(format="%d", width="small"),
    "Accuracy on validation, %": st.column_config.NumberColumn(format="%.1f"),
    "Size, MB": st.column_config.NumberColumn(format="%.3g"),
    "Time a query, ms": st.column_config.NumberColumn(format="%.3f"),
    "Share, %": st.column_config.NumberColumn(format="%.1f"),
    "Calls a query": st.column_config.NumberColumn(format="%.0f"),
    "Error": st.column_config.NumberColumn(format="%.4f"),
    "Sensitivity": st.column_config.NumberColumn(format="%.2e"),
}

TEXTS = (
    "Against baseline", "Backend", "Frontier", "Layer", "FLOPs a sample", "Measured on", "Model", "Models", "Noise",
    "Non-zero", "Note", "Operator", "Operators", "Settings", "Status", "Step", "Study", "Techniques", "Variant",
    "Worst change",
)  # fmt: skip


def columns() -> dict[str, Any]:
    """Return the configuration of every column that some table has, heads in the viewer's language."""
    numbers = {column_title(info): _number(info) for info in METRICS}
    texts = {name: st.column_config.Column(_(name)) for name in TEXTS}
    texts["Ended"] = st.column_config.DatetimeColumn(_("Ended"), format=_("D MMM YYYY, HH:mm"))
    return texts | numbers | {name: config | {"label": _(name)} for name, config in FIXED.items()}


def _number(info: MetricInfo) -> Any:
    form = "%.1f" if is_share(info) else "%.2fx" if info.unit == "x" else "%.3g"
    return st.column_config.NumberColumn(_column_label(info), format=form, help=_(info.description))


def _column_label(info: MetricInfo) -> str:
    return column_title(info.model_copy(update={"title": _(info.title)}))
