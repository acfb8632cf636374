"""Study files: written out or as a grid, and a sentence for every slip."""

from pathlib import Path

import pytest

import engine.studies
from engine import studies
from engine.backends import BACKENDS
from engine.errors import InvalidValueError, RequestError, UnavailableError
from engine.resolve import resolve
from engine.results import Capability
from engine.spec import Effort, Scalar, Task
from engine.studies import demo_specs, parse_choice, parse_study, read_study
from engine.techniques import TECHNIQUES


@pytest.mark.parametrize(
    ("text", "name", "params"),
    [
        ("int8-dynamic", "int8-dynamic", {}),
        ("int8-dynamic:", "int8-dynamic", {}),
        ("x:a=true,b=2,c=0.5,d=word", "x", {"a": True, "b": 2, "c": 0.5, "d": "word"}),
        (" x : a = 1 , b = 2 ", "x", {"a": 1, "b": 2}),
        ("x:a=1e-3", "x", {"a": "1e-3"}),
        ("x:a=[1;2]", "x", {"a": "[1;2]"}),
        ("x:a=", "x", {"a": ""}),
        ("x:a=b=c", "x", {"a": "b=c"}),
        ("x:a={", "x", {"a": "{"}),
        ("x:a=null", "x", {"a": "null"}),
        ("x:a=off,b=no,c=True", "x", {"a": "off", "b": "no", "c": True}),
        ("x:a=2026-01-01", "x", {"a": "2026-01-01"}),
    ],
)
def test_a_choice_is_read(text: str, name: str, params: dict[str, Scalar]) -> None:
    choice = parse_choice(text)
    assert (choice.name, choice.params) == (name, params)
    assert [type(value) for value in choice.params.values()] == [type(value) for value in params.values()]


@pytest.mark.parametrize("text", ["x:a", "x:=1", "x:a=1,b"])
def test_a_parameter_without_name_or_value_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidValueError, match="Write x:key=value,key=value"):
        parse_choice(text)


def study(body: str) -> list[str]:
    """Return what the experiments of a study are, in short."""
    parsed = parse_study(f"name: s\nexperiments:\n{body}", "s.yaml")
    return [
        "/".join([spec.model, *(step.name for step in spec.techniques), spec.backend.name, str(spec.seed)])
        for spec in parsed.experiments
    ]


def test_an_experiment_is_resolved_as_on_the_command_line() -> None:
    parsed = parse_study(
        "name: s\nexperiments: [{model: fashion-mlp, techniques: ['prune-magnitude:sparsity=0.8'], effort: rigorous}]",
        "s",
    )
    expected = resolve(
        model="fashion-mlp", techniques=[parse_choice("prune-magnitude:sparsity=0.8")], effort=Effort.RIGOROUS
    )
    assert parsed.experiments == (expected,)


def test_lists_make_a_grid() -> None:
    assert study("  - {model: [fashion-mlp, fashion-cnn], backend: [torch, onnxruntime], seed: [0, 1]}") == [
        f"{model}/{backend}/{seed}"
        for model in ("fashion-mlp", "fashion-cnn")
        for backend in ("torch", "onnxruntime")
        for seed in (0, 1)
    ]


def test_a_list_of_lists_is_a_list_of_stacks() -> None:
    stacks = "[[], [int8-dynamic], [prune-magnitude, int8-dynamic]]"
    assert study(f"  - {{model: fashion-mlp, techniques: {stacks}}}") == [
        "fashion-mlp/torch/0",
        "fashion-mlp/int8-dynamic/torch/0",
        "fashion-mlp/prune-magnitude/int8-dynamic/torch/0",
    ]


def test_the_same_experiment_twice_is_one() -> None:
    assert study("  - {model: fashion-mlp}\n  - {model: fashion-mlp, backend: torch, seed: 0}") == [
        "fashion-mlp/torch/0"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", r"'s\.yaml' is no valid YAML"),
        ("", r"'s\.yaml': the file: Input should be a valid dictionary"),
        ("name: s", r"'s\.yaml': experiments: Field required"),
        ("name: s\nexperiments: []", r"experiments: List should have at least 1"),
        ("name: ''\nexperiments: [{model: fashion-mlp}]", r"name: String should have at least 1"),
        ("name: s\nexperiments: [{modle: x}]", r"experiments\.0\.model: Field required"),
        ("name: s\nexperiments: [{model: x, colour: red}]", r"experiments\.0\.colour: Extra inputs are not permitted"),
        ("name: s\nexperiments: [{model: fashion-mlp}, {model: fashion-mpl}]", r"experiment 2: .*mean 'fashion-mlp'"),
        ("name: s\nexperiments: [{model: fashion-mlp, techniques: ['int8-dynamic:a']}]", r"experiment 1: 'a' in"),
        (
            "name: s\nexperiments: [{model: fashion-mlp, batch_size: [1, 0]}]",
            r"experiment 1: .*batch_size=0 is",
        ),
        ("name: s\nexperiments: [{model: []}]", r"asks for no run: a list in it is empty"),
        ("!!python/object/apply:os.system ['true']", r"is no valid YAML"),
    ],
)
def test_a_slip_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        parse_study(text, "s.yaml")


def test_a_grid_that_explodes_is_refused_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MAX_EXPERIMENTS", 100)
    many = list(range(1, 1025))
    body = f"{{model: {['fashion-mlp'] * 1024}, seed: {many}, batch_size: {many}, backend: {['torch'] * 1024}}}"
    with pytest.raises(InvalidValueError, match="over 100 runs; make the grid smaller"):
        parse_study(f"name: s\nexperiments: [{body}]", "s.yaml")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: mine\nexperiments: [{model: fashion-mlp}]")
    assert read_study(tmp_path / "s.yaml").name == "mine"


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="no study file"):
        read_study(tmp_path / "gone.yaml")
    (tmp_path / "huge.yaml").write_bytes(b" " * (1 << 20) + b" ")
    with pytest.raises(InvalidValueError, match="larger than 1 MiB"):
        read_study(tmp_path / "huge.yaml")


def test_the_demo_shows_what_was_promised() -> None:
    specs = demo_specs()
    assert len(demo_specs(Task.IMAGE_CLASSIFICATION)) >= 6
    assert len(demo_specs(Task.TEXT_CLASSIFICATION)) >= 8
    assert len({spec.label() for spec in specs if len(spec.techniques) > 1}) >= 3
    classifying = [spec for spec in specs if spec.task is not Task.TEXT_GENERATION]
    assert {spec.backend.name for spec in classifying} == {"torch", "onnxruntime"}, "what every installation has"
    assert specs[: len(classifying)] == classifying, "what takes minutes comes last"
    assert len(specs) - len(classifying) in (2, 6), "six runs of a language model, two where only PyTorch is installed"
    assert specs[0].task is Task.IMAGE_CLASSIFICATION, "the first point is to come within 90 s"


def test_the_shipped_studies_show_every_backend() -> None:
    folder = Path(engine.studies.__file__).parent
    shipped = [read_study(path) for path in folder.glob("*.yaml")]
    shown = {spec.backend.name for study in shipped for spec in study.experiments}
    assert shown == {backend.name for backend in BACKENDS if backend.capabilities().available}
    assert {study.name for study in shipped if study.left_out} <= {"backends", "language"}, "the others run everywhere"


def test_what_cannot_run_here_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Capability(backend="openvino", available=False, reason="pip install it")
    monkeypatch.setattr(type(BACKENDS.get("openvino")), "capabilities", lambda _: missing)
    text = "name: s\nexperiments: [{model: fashion-mlp, backend: [torch, openvino], seed: [0, 1]}]"
    study = parse_study(text, "s.yaml")
    assert {spec.backend.name for spec in study.experiments} == {"torch"}
    assert study.left_out == ("experiment 1: OpenVINO cannot run here: pip install it",)
    with pytest.raises(UnavailableError, match=r"'s.yaml', experiment 1: OpenVINO cannot run here: pip install it"):
        parse_study("name: s\nexperiments: [{model: fashion-mlp, backend: openvino}]", "s.yaml")


def test_the_shipped_studies_show_every_technique_alone() -> None:
    folder = Path(engine.studies.__file__).parent
    specs = [spec for path in folder.glob("*.yaml") for spec in read_study(path).experiments]
    formats = {backend.format for backend in BACKENDS if backend.capabilities().available}
    possible = {one.name for one in TECHNIQUES if one.formats is None or one.formats & formats}
    assert {spec.techniques[0].name for spec in specs if len(spec.techniques) == 1} == possible


def test_the_study_of_the_encoder_has_twenty_stacks() -> None:
    study_file = Path(engine.studies.__file__).parent / "encoder.yaml"
    assert sum(len(spec.techniques) > 1 for spec in read_study(study_file).experiments) >= 20
