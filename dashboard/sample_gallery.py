"""Single samples on a page: the texts or images behind a flip or a disagreement."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import components
from dashboard.language import gettext as _
from engine.analysis.samples import MOST_SHOWN, ShownSample, shown_samples
from engine.datasets import load_dataset
from engine.datasets.base import Dataset, SplitName
from engine.errors import SubsecondError
from engine.results import RawData, RunRecord

COLUMNS = 6
PIXELS = 112
"""Side of a small image on the page."""


def show(record: RunRecord, raw: RawData, answers: Mapping[str, NDArray[np.generic]], positions: Sequence[int]) -> None:
    """Show samples of the split that a run was scored on.

    Args:
        record: a finished run that names the data set and the split.
        raw: its arrays, whose labels prove that the data set is still the same.
        answers: predicted classes by the name of their run.
        positions: which samples; at most 24 of them are shown.
    """
    labels = raw.arrays.get("labels")
    if record.result is None or labels is None or not len(positions):
        return
    try:
        dataset = _load(record.spec.dataset)
    except SubsecondError as error:
        st.caption(components.plain(_("The samples themselves cannot be shown: {why}").format(why=error)))
        return
    split: SplitName = "validation" if record.result.context.split == "validation" else "test"
    shown = shown_samples(dataset, split, labels, answers, positions)
    if not shown:
        st.caption(_("The samples themselves cannot be shown: the data set has changed since they were scored."))
    elif shown[0].image is None:
        _texts(shown)
    else:
        _images(shown)
    if len(positions) > MOST_SHOWN and shown:
        st.caption(_("The first {shown} of {all} are shown.").format(shown=MOST_SHOWN, all=f"{len(positions):,}"))


def _texts(shown: Sequence[ShownSample]) -> None:
    rows = [{_("Sample"): one.position, _("Text"): one.text, _("True"): one.label, **one.answers} for one in shown]
    widths = {
        _("Text"): st.column_config.TextColumn(width="large"),
        _("Sample"): st.column_config.NumberColumn(width=70),
    }
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config=widths, alt=_("Samples with what each run answered")
    )


def _images(shown: Sequence[ShownSample]) -> None:
    for start in range(0, len(shown), COLUMNS):
        for place, one in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with place:
                if one.image is not None:
                    st.image(
                        one.image, width=PIXELS, alt=_("Sample {n}, {label}").format(n=one.position, label=one.label)
                    )
                said = " · ".join(f"{name}: {answer}" for name, answer in one.answers.items())
                st.caption(components.plain(_("{label} ({answers})").format(label=one.label, answers=said)))


@st.cache_resource(max_entries=2, ttl=900, show_spinner=False)
def _load(reference: str) -> Dataset:
    return load_dataset(reference)
