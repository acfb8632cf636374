from pathlib import Path

import pytest

from engine.analysis.strength import STRENGTHS
from engine.models import MODELS
from engine.results import Status
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, Screen, words
from tests.dashboard.samples import SERVICE, sample_machine, sample_result, sample_spec
from tests.fakes import FakeClock, make_machine


def toggle(app: Screen, technique: str) -> Screen:
    return app.toggle(key=f"new_{technique}").set_value(not app.toggle(key=f"new_{technique}").value).run()


def test_it_says_what_will_happen_and_the_command(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    assert not app.exception
    assert "1. Load Fashion MLP and train it on fashion-mnist" in words(app)
    assert "subsecond run fashion-mlp --dataset fashion-mnist" in words(app)


def test_a_beginner_has_one_knob(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    assert not app.exception
    assert not app.toggle
    assert "subsecond run fashion-mlp --dataset fashion-mnist -t int8-static --backend onnxruntime" in words(app)
    app.select_slider(key="new_strength").set_value("extreme").run()
    assert "-t distill -t int8-static" in words(app)
    assert app.query_params["new_strength"] == "extreme"
    app.select_slider(key="new_strength").set_value("none").run()
    assert "--dataset fashion-mnist --backend onnxruntime" in words(app)


@pytest.mark.parametrize("model", MODELS.names())
@pytest.mark.parametrize("strength", [entry.name for entry in STRENGTHS])
def test_every_strength_is_something_for_every_model(
    database_path: Path, open_page: OpenPage, model: str, strength: str
) -> None:
    app = open_page(database_path, "new_run", new_model=model, new_strength=strength)
    assert not app.exception
    assert f"subsecond run {model}" in words(app)
    assert "Nothing of this strength fits" not in words(app)


def test_a_link_restores_techniques_and_parameters(database_path: Path, open_page: OpenPage) -> None:
    stack = "prune-magnitude:sparsity=0.7+int8-dynamic:per_channel=false"
    app = open_page(database_path, "new_run", new_mode="expert", new_stack=stack)
    assert not app.exception
    assert app.slider(key="new_prune-magnitude_sparsity").value == 0.7
    assert "-t prune-magnitude:sparsity=0.7 -t int8-dynamic:per_channel=false" in words(app)
    assert app.query_params["new_stack"] == stack


@pytest.mark.parametrize(
    "stack", ["nonsense", "prune-magnitude:sparsity=7", "int8-dynamic:x", "++", "int8-dynamic:a=1"]
)
def test_a_link_with_nonsense_chooses_nothing(database_path: Path, open_page: OpenPage, stack: str) -> None:
    app = open_page(database_path, "new_run", new_mode="expert", new_stack=stack)
    assert not app.exception
    assert "--dataset fashion-mnist --backend onnxruntime" in words(app)


def test_several_values_make_a_grid_under_one_name(store: Store, database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert", new_stack="prune-magnitude")
    app.multiselect(key="new_vary").set_value(["prune-magnitude.sparsity", "seed"]).run()
    app.text_input(key="new_vary_prune-magnitude.sparsity").set_value("0.3, 0.5, 7").run()
    app.text_input(key="new_vary_seed").set_value("0, 1").run()
    assert not app.exception
    assert "4 runs" in [element.value for element in app.header]
    assert "prune-magnitude: sparsity=7 is refused" in words(app)
    app.text_input(key="new_study").set_value("a <b>grid</b>").run()
    app.button(key="new_run").click().run()
    assert not app.exception
    queued = store.runs()
    assert {run.study for run in queued} == {"a <b>grid</b>"}
    assert sorted((run.spec.techniques[0].params["sparsity"], run.spec.seed) for run in queued) == [
        (0.3, 0), (0.3, 1), (0.5, 0), (0.5, 1),
    ]  # fmt: skip


def test_runs_of_a_grid_that_were_done_are_counted_and_left_out(
    store: Store, database_path: Path, open_page: OpenPage
) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    app.multiselect(key="new_vary").set_value(["seed"]).run()
    app.text_input(key="new_vary_seed").set_value("0, 1").run()
    app.button(key="new_run").click().run()
    again = open_page(database_path, "new_run", new_mode="expert")
    again.multiselect(key="new_vary").set_value(["seed"]).run()
    again.text_input(key="new_vary_seed").set_value("0, 1, 2").run()
    assert "2 of them are done or under way already." in words(again)
    again.button(key="new_run").click().run()
    assert [run.spec.seed for run in store.waiting()] == [0, 1, 2]


def test_the_length_is_told_from_runs_like_it(
    store: Store, clock: FakeClock, database_path: Path, open_page: OpenPage
) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    assert "its length is not known" in words(app)
    (run_id,) = store.enqueue([sample_spec(model="fashion-mlp", seed=1)])
    store.claim(SERVICE, only=[run_id])
    clock.advance(42)
    store.finish(run_id, SERVICE, sample_result(sample_spec(model="fashion-mlp", seed=1)), None)
    assert "About 42.0 s, judging by runs like it." in words(open_page(database_path, "new_run", new_mode="expert"))


def test_parameters_appear_with_their_technique_and_reach_the_queue(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    assert not any("sparsity" in str(slider.key) for slider in app.slider)
    toggle(app, "prune-magnitude")
    app.slider(key="new_prune-magnitude_sparsity").set_value(0.7).run()
    assert "Magnitude pruning" in words(app)
    app.button(key="new_run").click().run()
    assert not app.exception
    store = Store(database_path)
    (run,) = store.runs()
    store.close()
    (choice,) = run.spec.techniques
    assert (choice.name, choice.params["sparsity"]) == ("prune-magnitude", 0.7)
    assert run.status is Status.QUEUED


def test_pressing_run_leads_to_the_runs(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    app.button(key="new_run").click().run()
    assert app.title[0].value == "Runs"
    assert "Waiting, 1" in words(app)


def test_a_spec_that_was_run_is_offered_and_not_repeated(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    app.button(key="new_run").click().run()
    again = open_page(database_path, "new_run", new_mode="expert")
    assert "This is queued already." in words(again)
    assert "Watch run 1" in [link.label for link in again.get("page_link")]
    assert not [button for button in again.button if button.key == "new_run"]


def test_a_text_model_brings_its_own_data(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    app.selectbox(key="new_model").select("minilm-l6").run()
    assert app.selectbox(key="new_dataset_text-classification").value == "movie-reviews"
    assert "Load MiniLM-L6 and train it on movie-reviews" in words(app)


def test_what_the_machine_cannot_do_is_grey_with_the_reason(
    store: Store, database_path: Path, open_page: OpenPage
) -> None:
    store.describe_machine(make_machine())
    app = open_page(database_path, "new_run", new_mode="expert")
    assert app.radio(key="new_backend").options == ["PyTorch eager"]
    assert "pip install onnxruntime" in words(app)
    store.describe_machine(sample_machine())
    assert len(open_page(database_path, "new_run", new_mode="expert").radio(key="new_backend").options) == 2


def test_a_missing_engine_is_said_with_the_command_that_starts_one(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    assert "subsecond serve" in words(open_page(filled_path, "new_run", new_mode="expert"))


def test_stacks_keep_the_order_of_the_registry(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    toggle(app, "int8-dynamic")
    toggle(app, "prune-structured")
    text = words(app)
    assert text.index("Structured pruning:") < text.index("Bring it into the form") < text.index("Dynamic int8:")


def test_a_language_model_is_offered_what_serves_it(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run", new_mode="expert")
    app.selectbox(key="new_model").set_value("smollm2-135m-instruct").run()
    app.radio(key="new_backend_text-generation").set_value("torch").run()
    assert not app.exception
    assert "PyTorch eager" in app.radio(key="new_backend_text-generation").options
    assert "ONNX Runtime" not in app.radio(key="new_backend_text-generation").options
    assert app.toggle(key="new_fuse").disabled
    assert not app.toggle(key="new_bf16").disabled
    text = words(app)
    assert "Load SmolLM2-135M-Instruct and unpack its weights" in text
    assert "response, 20 tokens in, 64 out" in text
    assert "subsecond run smollm2-135m-instruct" in text
