import shlex

from engine.analysis.command import command_line
from engine.spec import Choice, Effort
from tests.dashboard.samples import sample_spec


def test_defaults_are_left_out() -> None:
    assert command_line(sample_spec()) == "subsecond run minilm-l6 --dataset movie-reviews --backend onnxruntime"


def test_what_differs_is_written_as_the_command_line_takes_it() -> None:
    spec = sample_spec((Choice(name="folding", params={"deep": True, "share": 0.5}),), seed=7).model_copy(
        update={
            "effort": Effort.RIGOROUS,
            "batch_size": 8,
            "backend": Choice(name="onnxruntime", params={"threads": 2, "graph_optimization": "basic"}),
        }
    )
    words = shlex.split(command_line(spec))
    assert words[words.index("-t") + 1] == "folding:deep=true,share=0.5"
    assert words[words.index("--backend") + 1] == "onnxruntime:threads=2,graph_optimization=basic"
    assert words[words.index("--effort") + 1] == "rigorous"
    assert words[words.index("--batch-size") + 1] == "8"
    assert words[words.index("--seed") + 1] == "7"


def test_a_folder_with_a_blank_stays_one_word() -> None:
    spec = sample_spec().model_copy(update={"model": "my models/bert; rm"})
    assert shlex.split(command_line(spec))[2] == "my models/bert; rm"
