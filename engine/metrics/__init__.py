"""What numbers a result may hold; a plot's axes and the CSV's columns follow from this list."""

from engine.metrics.base import MetricInfo
from engine.registry import Registry
from engine.spec import CLASSIFICATION, Task

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
_GENERATION = (
    ("first_token_p50_ms", "First token p50", "Median time from the request to the first token", "ms", "minimize"),
    (
        "time_per_token_p50_ms",
        "Time per token p50",
        "Median over responses of the mean time from one token to the next, the first left out",
        "ms",
        "minimize",
    ),
    (
        "inter_token_p95_ms",
        "Between tokens p95",
        "95 % of the pauses between two tokens are at most this long",
        "ms",
        "minimize",
    ),
    ("tokens_per_s", "Tokens a second", "New tokens over the time of a whole response", "1/s", "maximize"),
    ("kv_cache_bytes", "KV cache", "Keys and values of one whole response in memory", "bytes", "minimize"),
    ("acceptance_rate", "Accepted drafts", "Share of the guessed tokens that the model would have said", "", None),
    ("next_token_agreement", "Next-token agreement", "Share of positions with the same next token", "", None),
    (
        "accuracy_norm",
        "Accuracy, length-normalised",
        "Share of questions whose right answer is the most likely one for its length",
        "",
        "maximize",
    ),
    (
        "perplexity",
        "Perplexity",
        "How many words a model wavers between: of the last word of a passage",
        "",
        "minimize",
    ),
    ("perplexity_ratio", "Perplexity ratio", "Perplexity over the baseline's on the same samples", "x", "minimize"),
)
_QUALITY = (
    ("accuracy", "Accuracy", "Share of test samples answered rightly"),
    ("accuracy_change", "Accuracy change", "Accuracy minus the baseline's on the same samples"),
    ("macro_precision", "Macro precision", "Precision averaged over classes"),
    ("macro_recall", "Macro recall", "Recall averaged over classes"),
    ("macro_f1", "Macro F1", "F1 averaged over classes"),
    ("roc_auc", "ROC AUC", "Area under the ROC curve, one against rest"),
)

_CLASSIFIERS_ONLY = {"macro_precision", "macro_recall", "macro_f1", "roc_auc", "best_batch_size", "max_rate_per_s"}
_GENERATION_ONLY = {name for name, *_ in _GENERATION}
_GENERATION_QUALITY = {"accuracy_norm", "perplexity"}


def _tasks(name: str) -> frozenset[Task]:
    if name in _CLASSIFIERS_ONLY:
        return CLASSIFICATION
    return frozenset({Task.TEXT_GENERATION}) if name in _GENERATION_ONLY else frozenset(Task)


def _add(name: str, title: str, description: str, unit: str, direction: str | None, *, quality: bool) -> None:
    values = {"name": name, "title": title, "description": description, "unit": unit, "direction": direction}
    METRICS.add(MetricInfo.model_validate({**values, "tasks": _tasks(name), "quality": quality}))


for _row in _COST:
    _add(*_row, quality=False)
for _name, _title, _description in _QUALITY:
    _add(_name, _title, _description, "", "maximize", quality=True)
for _row in _GENERATION:
    _add(*_row, quality=_row[0] in _GENERATION_QUALITY)
