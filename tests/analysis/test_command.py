import shlex

import pytest

from engine.analysis.command import command_line, python_code, study_yaml
from engine.resolve import resolve
from engine.spec import Choice, Effort, ExperimentSpec
from engine.studies import demo_specs, parse_choice, parse_study
from tests.dashboard.samples import sample_spec
from tests.fakes import make_spec


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


def read_back(line: str) -> ExperimentSpec:
    """Resolve the words of a command as the command line does."""
    _, _, model, *words = shlex.split(line)
    options = [(words[index], words[index + 1]) for index in range(0, len(words), 2)]
    single = dict(options)
    return resolve(
        model=model,
        dataset=single["--dataset"],
        techniques=[parse_choice(text) for name, text in options if name == "-t"],
        backend=parse_choice(single["--backend"]),
        effort=single.get("--effort", Effort.QUICK),
        batch_size=int(single.get("--batch-size", 1)),
        seed=int(single.get("--seed", 0)),
    )


@pytest.mark.parametrize("spec", demo_specs(), ids=lambda spec: spec.label())
def test_the_command_repeats_exactly_this_experiment(spec: ExperimentSpec) -> None:
    assert read_back(command_line(spec)).fingerprint == spec.fingerprint


def test_a_scenario_is_named_with_what_is_not_its_default() -> None:
    plain = Choice(name="server", params={"bound_ms": 100.0, "rate_per_s": 0.0})
    tight = Choice(name="server", params={"bound_ms": 5.0, "rate_per_s": 0.0})
    assert command_line(make_spec(scenario=plain)).endswith("--scenario server")
    assert command_line(make_spec(scenario=tight)).endswith("--scenario server:bound_ms=5.0")
    assert "--scenario" not in command_line(make_spec())


def test_the_study_file_repeats_exactly_these_experiments() -> None:
    specs = demo_specs()
    study = parse_study(study_yaml(specs, "again: <b>"), "made")
    assert study.name == "again: <b>"
    assert [spec.fingerprint for spec in study.experiments] == [spec.fingerprint for spec in specs]


@pytest.mark.parametrize("spec", demo_specs(), ids=lambda spec: spec.label())
def test_the_python_repeats_exactly_this_experiment(spec: ExperimentSpec) -> None:
    asked, _, rest = python_code(spec).partition("store = ")
    found: dict[str, ExperimentSpec] = {}
    exec(compile(asked, "made", "exec"), found)
    assert found["spec"].fingerprint == spec.fingerprint
    assert "enqueue([spec])" in rest


def test_a_name_with_quotes_stays_a_name_in_python() -> None:
    spec = sample_spec().model_copy(update={"model": 'it\'s "mine"\n'})
    assert f"model={spec.model!r}," in python_code(spec)
    compile(python_code(spec), "made", "exec")
