"""Whether training with int8 rounding pays: ``python -m tests.benchmarks.bench_qat``, three seeds, two models.

Nothing is timed, so other programs may run beside it; it trains for about twenty minutes on two cores.
"""

import sys

from engine.analysis import statistics
from engine.datasets import load_dataset
from tests.benchmarks.artifacts import answers, prepared

MODELS = {"minilm-l6": "movie-reviews", "fashion-cnn": "fashion-mnist"}
SEEDS = (0, 1, 2)


def main() -> None:
    """Print one row a model and seed."""
    write = sys.stdout.write
    write("| model | seed | fp32 | int8-static | int8-qat | gained, lost by qat | McNemar p | verdict |\n")
    write("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for model, data in MODELS.items():
        test = load_dataset(data).test
        for seed in SEEDS:
            plain, static, trained = (
                statistics.predictions_of(answers(prepared(model, stack, seed=seed), test))
                for stack in ([], ["int8-static"], ["int8-qat"])
            )
            change = statistics.compare_predictions(trained, static, test.labels)
            verdict = "better" if change.value > 0 and change.p_value <= 0.05 else "tied"
            verdict = "worse" if change.value < 0 and change.p_value <= 0.05 else verdict
            accuracy = [f"{(predictions == test.labels).mean():.4f}" for predictions in (plain, static, trained)]
            flips = f"{change.gained}, {change.lost} | {change.p_value:.2f}"
            write(f"| {model} | {seed} | {' | '.join(accuracy)} | {flips} | {verdict} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
