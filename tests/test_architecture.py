"""The shape of the program: who may import whom, what stays out of the dashboard's process, and how long things get."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "engine").rglob("*.py")) + sorted((ROOT / "dashboard").rglob("*.py"))
HEAVY = (
    *("torch", "transformers", "onnxruntime", "onnxruntime_genai", "onnx", "openvino", "torchao", "torch_pruning"),
    *("nncf", "tokenizers", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "executorch", "torch_xla"),
    "llama_cpp",
)

WORDS = {"errors", "units", "registry", "spec", "insight", "results", "cautions"}
REGISTRIES = {"models", "datasets", "techniques", "backends", "metrics", "scenarios"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": set(),
    "paths": set(),
    "quiet": set(),
    "registry": {"errors"},
    "spec": set(),
    "insight": {"spec"},
    "results": {"spec", "insight"},
    "cautions": {"results"},
    "access": {"errors"},
    "entrance": {"errors", "access"},
    "stages": {"paths"},
    "environments": WORDS | {"paths", "stages"},
    "datasets": WORDS,
    "models": WORDS | {"datasets", "paths", "quiet"},
    "backends": WORDS | {"datasets", "models", "quiet", "environments"},
    "techniques": WORDS | {"datasets", "models", "quiet", "backends"},
    "metrics": WORDS,
    "measure": WORDS | {"paths", "backends", "environments"},
    "scenarios": WORDS | {"measure"},
    "store": WORDS | {"paths"},
    "analysis": WORDS | REGISTRIES,
    "resolve": WORDS | REGISTRIES | {"measure"},
    "studies": WORDS | {"resolve"},
    "answering": WORDS | REGISTRIES,
    "probe": WORDS | {"backends", "quiet", "environments"},
    "capabilities": WORDS | {"backends", "measure", "paths", "probe"},
    "conversion": WORDS | REGISTRIES | {"quiet", "environments"},
    "preparation": WORDS | REGISTRIES | {"answering", "stages", "measure", "conversion"},
    "generation": WORDS | REGISTRIES | {"measure"},
    "inference": WORDS | REGISTRIES | {"answering", "generation", "measure", "quiet"},
    "outcome": WORDS | REGISTRIES | {"answering", "measure", "analysis"},
    "pipeline": WORDS | REGISTRIES | {"answering", "measure", "analysis", "outcome", "preparation", "stages"},
    "selfcheck": WORDS
    | REGISTRIES
    | {"answering", "measure", "analysis", "outcome", "preparation", "stages", "pipeline"},
    "worker": WORDS | {"pipeline", "measure", "quiet"},
    "executors": WORDS | {"store", "environments"},
    "asking": WORDS | {"executors"},
    "desk": WORDS | {"asking", "executors", "store"},
    "reply": WORDS | REGISTRIES | {"asking", "measure", "preparation", "quiet", "stages"},
    "service": WORDS | {"store", "executors", "asking", "desk"},
    "tidying": WORDS | {"executors", "stages", "store"},
    "supervision": set(),
    "serving": WORDS
    | {"access", "entrance", "asking", "tidying", "supervision"}
    | {"store", "executors", "service", "measure", "capabilities"},
    "present": WORDS | REGISTRIES | {"asking", "store", "analysis"},
    "doctor": WORDS | REGISTRIES | {"store", "capabilities", "probe", "resolve"},
    "observe": WORDS | {"store", "supervision"},
    "keeping": WORDS | {"backends", "doctor", "present", "probe", "store"},
    "cli": WORDS
    | REGISTRIES
    | {
        *("entrance", "keeping", "observe", "supervision"),
        *("asking", "store", "analysis", "measure", "probe", "resolve"),
        *("studies", "serving", "present", "doctor", "selfcheck"),
    },
    "__main__": {"cli"},
    "dashboard": WORDS | REGISTRIES | {"access", "entrance", "store", "analysis", "resolve", "studies"},
}
"""DESIGN section 2 in full: each may import what stands in its row, all of which stands above it."""

ONLY_IN = {
    "sqlalchemy": lambda path: path.startswith("engine/store/"),
    "alembic": lambda path: path.startswith("engine/store/"),
    "plotly": lambda path: path.startswith("engine/analysis/figures/"),
    "streamlit": lambda path: path.startswith("dashboard/"),
    "typer": lambda path: path in ("engine/cli.py", "engine/keeping.py"),
}
REFUSED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
REFUSED_CALLS = {
    "eval",
    "exec",
    "compile",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "pd.read_pickle",
}
REFUSED_KEYWORDS = {"trust_remote_code", "allow_pickle", "shell"}

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of everything imported, whether a module or something in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_level_imports(tree: ast.Module) -> set[str]:
    """Return the top packages that importing a module loads, outside of functions and ``TYPE_CHECKING``."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.partition(".")[0] for name in imports(node)}
    return found


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "dashboard" if parts[0] == "dashboard" else parts[1]


@each_source
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert list(imports(tree_of(path))) == []
        return
    used = set()
    for name in imports(tree_of(path)):
        parts = name.split(".")
        if parts[0] == "engine" and len(parts) > 1:
            used.add(parts[1])
        elif parts[0] == "dashboard":
            used.add("dashboard")
        assert parts[0] != "tests"
    assert used - {room} <= MAY_IMPORT[room]


def test_the_table_itself_goes_one_way() -> None:
    rooms = list(MAY_IMPORT)
    for number, room in enumerate(rooms):
        assert MAY_IMPORT[room] <= set(rooms[:number])
    assert set(rooms) == {room_of(path) for path in SOURCES} - {"__init__"}


@each_source
def test_some_packages_have_one_room(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for name in imports(tree_of(path)):
        allowed = ONLY_IN.get(name.partition(".")[0])
        assert allowed is None or allowed(place), f"{name} does not belong here"


@each_source
def test_ml_runtimes_are_loaded_where_they_are_needed_and_not_before(path: Path) -> None:
    assert not module_level_imports(tree_of(path)) & {*HEAVY, "safetensors"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@each_source
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    tree = tree_of(path)
    assert not {name.partition(".")[0] for name in imports(tree)} & REFUSED_MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert dotted(node.func) not in REFUSED_CALLS
            for keyword in node.keywords:
                if keyword.arg in REFUSED_KEYWORDS:
                    assert isinstance(keyword.value, ast.Constant)
                    assert keyword.value.value is False


@each_source
def test_only_processes_that_try_what_may_break_swallow_every_error(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        is_broad = node.type is None or dotted(node.type) in ("Exception", "BaseException")
        raises = any(isinstance(child, ast.Raise) for child in ast.walk(node))
        assert not is_broad or raises or room_of(path) in ("worker", "probe")


@each_source
def test_files_and_functions_stay_short(path: Path) -> None:
    limit = 250 if path.parent.name == "app_pages" else 400
    assert len(path.read_text("utf-8").splitlines()) <= limit
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


@each_source
def test_every_module_says_what_it_is_for(path: Path) -> None:
    if room_of(path) != "store" or "versions" not in path.parts:
        assert path.name == "__init__.py" or ast.get_docstring(tree_of(path))


def importable(path: Path) -> bool:
    """Tell whether importing a module does no more than define things; pages and entries draw or serve at once."""
    return (
        path.parent.name != "app_pages"
        and path.name not in ("app.py", "__main__.py")
        and "migrations" not in path.parts
    )


def loaded_by(modules: list[str]) -> set[str]:
    """Return which ML runtimes a fresh interpreter has loaded after importing some modules."""
    program = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_neither_page_nor_command_nor_service_loads_an_ml_runtime() -> None:
    modules = [name_of(path) for path in SOURCES if importable(path)]
    assert {"engine.cli", "engine.service", "engine.techniques", "dashboard.components"} <= set(modules)
    assert loaded_by(modules) == set()


def test_what_a_page_imports_is_covered_by_that() -> None:
    modules = {name_of(path) for path in SOURCES if importable(path)}
    for path in SOURCES:
        if importable(path) or "migrations" in path.parts:
            continue
        for name in imports(tree_of(path)):
            top = name.partition(".")[0]
            assert top not in HEAVY
            if top in ("engine", "dashboard"):
                assert name in modules or name.rpartition(".")[0] in modules


def test_the_check_above_would_notice() -> None:
    assert "tokenizers" in loaded_by(["tokenizers"])
