from pathlib import Path

from engine.results import Status
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, Screen, words
from tests.dashboard.samples import SERVICE, sample_machine
from tests.fakes import make_machine


def toggle(app: Screen, technique: str) -> Screen:
    return app.toggle(key=f"new_{technique}").set_value(not app.toggle(key=f"new_{technique}").value).run()


def test_it_says_what_will_happen_and_the_command(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    assert not app.exception
    assert "1. Load Fashion MLP and train it on fashion-mnist" in words(app)
    assert "subsecond run fashion-mlp --dataset fashion-mnist" in words(app)


def test_parameters_appear_with_their_technique_and_reach_the_queue(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
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
    app = open_page(database_path, "new_run")
    app.button(key="new_run").click().run()
    assert app.title[0].value == "Runs"
    assert "Waiting, 1" in words(app)


def test_a_spec_that_was_run_is_offered_and_not_repeated(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    app.button(key="new_run").click().run()
    again = open_page(database_path, "new_run")
    assert "This is queued already." in words(again)
    assert "Watch run 1" in [link.label for link in again.get("page_link")]
    assert not [button for button in again.button if button.key == "new_run"]


def test_a_text_model_brings_its_own_data(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    app.selectbox(key="new_model").select("minilm-l6").run()
    assert app.selectbox(key="new_dataset_text-classification").value == "movie-reviews"
    assert "Load MiniLM-L6 and train it on movie-reviews" in words(app)


def test_what_the_machine_cannot_do_is_grey_with_the_reason(
    store: Store, database_path: Path, open_page: OpenPage
) -> None:
    store.describe_machine(make_machine())
    app = open_page(database_path, "new_run")
    assert app.radio(key="new_backend").options == ["PyTorch eager"]
    assert "pip install onnxruntime" in words(app)
    store.describe_machine(sample_machine())
    assert len(open_page(database_path, "new_run").radio(key="new_backend").options) == 2


def test_a_missing_engine_is_said_with_the_command_that_starts_one(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    assert "subsecond serve" in words(open_page(filled_path, "new_run"))


def test_stacks_keep_the_order_of_the_registry(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    toggle(app, "int8-dynamic")
    toggle(app, "prune-structured")
    text = words(app)
    assert text.index("Structured pruning:") < text.index("Bring it into the form") < text.index("Dynamic int8:")


def test_a_language_model_is_offered_what_serves_it(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "new_run")
    app.selectbox(key="new_model").set_value("smollm2-135m-instruct").run()
    assert not app.exception
    assert "PyTorch eager" in app.radio(key="new_backend_text-generation").options
    assert "ONNX Runtime" not in app.radio(key="new_backend_text-generation").options
    assert app.toggle(key="new_fuse").disabled
    assert not app.toggle(key="new_bf16").disabled
    text = words(app)
    assert "Load SmolLM2-135M-Instruct and unpack its weights" in text
    assert "response, 20 tokens in, 64 out" in text
    assert "subsecond run smollm2-135m-instruct" in text
