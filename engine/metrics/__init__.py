"""What numbers a result may hold; a plot's axes and the CSV's columns follow from this list."""

from engine.metrics.base import MetricInfo
from engine.registry import Registry

METRICS: Registry[MetricInfo] = Registry("metric")

_COST = (
    ("latency_p50_ms", "Latency p50", "Median time of one query, preprocessing left out", "ms", "minimize"),
    ("latency_p90_ms", "Latency p90", "90 % of queries are at least this fast", "ms", "minimize"),
    ("latency_p95_ms", "Latency p95", "95 % of queries are at least this fast", "ms", "minimize"),
    ("latency_p99_ms", "Latency p99", "99 % of queries are at least this fast", "ms", "minimize"),
    ("latency_mean_ms", "Latency mean", "Mean time of one query", "ms", "minimize"),
    ("latency_std_ms", "Latency std", "Standard deviation of the time of one query", "ms", "minimize"),
    ("latency_min_ms", "Latency min", "Fastest query", "ms", "minimize"),
    ("latency_max_ms", "Latency max", "Slowest query", "ms", "minimize"),
    (
        "latency_with_preprocessing_p50_ms",
        "Latency p50 with preprocessing",
        "Median time of one query, tokenising or normalising included",
        "ms",
        "minimize",
    ),
    ("baseline_latency_p50_ms", "Baseline p50", "Median of the PyTorch eager baseline in the same run", "ms", None),
    ("speedup", "Speed-up", "Paired ratio to the baseline timed in the same run", "x", "maximize"),
    ("throughput_per_s", "Throughput", "Samples a second that are answered", "1/s", "maximize"),
    (
        "max_rate_per_s",
        "Highest rate",
        "Highest rate of Poisson arrivals that keeps the latency bound",
        "1/s",
        "maximize",
    ),
    ("best_batch_size", "Best batch size", "Batch size with the highest throughput", "", None),
    ("size_bytes", "Size on disk", "Graph and weights of the artifact that was timed", "bytes", "minimize"),
    ("parameters", "Parameters", "Parameters of the artifact", "", "minimize"),
    ("nonzero_parameters", "Non-zero parameters", "Parameters that are not zero", "", "minimize"),
    ("peak_memory_bytes", "Peak memory", "Peak resident memory of the inference process", "bytes", "minimize"),
    ("load_s", "Load", "Cold start, first part: loading the model", "s", "minimize"),
    ("first_call_s", "First call", "Cold start, second part: the first query", "s", "minimize"),
    ("cpu_s_per_query", "CPU time a query", "CPU seconds of all threads for one sample", "s", "minimize"),
    ("energy_j_per_query", "Energy a query", "Joules by the machine's own counters for one sample", "J", "minimize"),
    ("agreement", "Agreement", "Share of samples with the same answer as the baseline", "", None),
    ("flips", "Flips", "Samples on which exactly one of baseline and variant is right", "", None),
    ("mcnemar_p", "McNemar p", "Exact p-value of the change in accuracy", "", None),
    ("max_abs_difference", "Max difference", "Largest difference of logits to the unexported model", "", "minimize"),
)
_QUALITY = (
    ("accuracy", "Accuracy", "Share of test samples answered rightly"),
    ("accuracy_change", "Accuracy change", "Accuracy minus the baseline's on the same samples"),
    ("macro_precision", "Macro precision", "Precision averaged over classes"),
    ("macro_recall", "Macro recall", "Recall averaged over classes"),
    ("macro_f1", "Macro F1", "F1 averaged over classes"),
    ("roc_auc", "ROC AUC", "Area under the ROC curve, one against rest"),
)

for _name, _title, _description, _unit, _direction in _COST:
    METRICS.add(
        MetricInfo.model_validate(
            {"name": _name, "title": _title, "description": _description, "unit": _unit, "direction": _direction}
        )
    )
for _name, _title, _description in _QUALITY:
    METRICS.add(MetricInfo(name=_name, title=_title, description=_description, direction="maximize", quality=True))
