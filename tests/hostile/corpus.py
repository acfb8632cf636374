"""The corpus: what each hostile input is called, how it is written, and what reads it.

A writer gets an empty folder and returns the path to hand to the reader. Every name says what is wrong.
"""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Writer = Callable[[Path], Path]

STUDIES: dict[str, Writer] = {}
TABLES: dict[str, Writer] = {}
FOLDERS: dict[str, Writer] = {}
WEIGHTS: dict[str, Writer] = {}
GGUFS: dict[str, Writer] = {}
TOKENIZERS: dict[str, Writer] = {}
TEMPLATES: dict[str, Writer] = {}
SPECS: dict[str, Writer] = {}
DATABASES: dict[str, Writer] = {}
RESULTS: dict[str, Writer] = {}

GOOD = "name: s\nexperiments:\n  - {model: fashion-mlp}\n"
CONFIG = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}


def _written(registry: dict[str, Writer], file: str, contents: dict[str, str | bytes]) -> None:
    def writer(content: bytes) -> Writer:
        def write(folder: Path) -> Path:
            (folder / file).write_bytes(content)
            return folder / file

        return write

    for name, content in contents.items():
        registry[name] = writer(content.encode() if isinstance(content, str) else content)


class Bomb:
    """Unpickled, it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("/tmp/subsecond-was-here"), "x"))


def zipped(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
PICKLE = b"cposix\nsystem\n(S'touch /tmp/subsecond-was-here'\ntR."
"""Unpickled, it would run a command."""

_written(
    STUDIES,
    "study.yaml",
    {
        "empty": "",
        "cut off in a string": GOOD[:-4] + '"x',
        "a billion laughs": LAUGHS + GOOD,
        "laughs where a model is named": GOOD.replace("fashion-mlp", "&a [fashion-mlp, *a]"),
        "an object of Python": "name: !!python/object/apply:os.system ['touch /tmp/subsecond-was-here']\n" + GOOD,
        "nested ten thousand deep": "name: s\nexperiments: " + "[" * 10_000,
        "nested maps": "name: s\nexperiments:\n - model: " + "{a: " * 3_000 + "1" + "}" * 3_000,
        "a list where a name is meant": GOOD.replace("name: s", "name: [1, 2]"),
        "no number for a seed": GOOD.replace("}", ", seed: .nan}"),
        "an endless seed": GOOD.replace("}", ", seed: 999999999999999999999999}"),
        "a negative batch": GOOD.replace("}", ", batch_size: -1}"),
        "a grid of ten million runs": GOOD.replace(
            "}", f", seed: {list(range(4000))}, batch_size: {list(range(1, 1025))}}}"
        ),
        "an impossible grid of ten million runs": GOOD.replace("fashion-mlp", "minilm-l6").replace(
            "}", f", backend: torch-xla, seed: {list(range(4000))}, batch_size: {list(range(1, 1025))}}}"
        ),
        "bytes that are no text": b"\xff\xfe\x00name",
        "control characters": GOOD.replace("name: s", 'name: "\\0\\x1b[2J"'),
        "a path as a model": GOOD.replace("fashion-mlp", "../../../../etc/passwd"),
        "a device as a model": GOOD.replace("fashion-mlp", "/dev/zero"),
        "markup as a model": GOOD.replace("fashion-mlp", "<script>alert(1)</script>"),
        "a parameter called like a method": GOOD.replace("}", ", techniques: ['int8-static:__class__=1']}"),
        "a name of a megabyte": GOOD.replace("name: s", "name: " + "s" * 1_000_000),
        "more than a megabyte": GOOD + "#" * (1 << 20),
        "the same key a thousand times": GOOD.replace("}", ", seed: 1" * 1000 + "}"),
    },
)

_TEXTS = "text,label\n" + "".join(f"sentence {number},{'good' if number % 2 else 'bad'}\n" for number in range(60))
_written(
    TABLES,
    "table.csv",
    {
        "nothing": "",
        "a header alone": "text,label\n",
        "cut off in a quote": _TEXTS + '"half',
        "bytes that are no text in a table": b"text,label\n\xff\xfe\xfa,1\n" * 30,
        "null bytes": b"text,label\n\x00\x00,1\n" * 30,
        "rows of different lengths": "text,label\n1,2,3,4,5\n6\n",
        "no label that repeats": "text,label\n" + "".join(f"t{n},{n}\n" for n in range(2000)),
        "labels of nothing": "text,label\n" + "x,\n" * 60,
        "numbers without a value": "text,label\n" + "nan,inf\nnan,-inf\n" * 30,
        "a gzip bomb under a table's name": gzip.compress(b"0" * 50_000_000),
        "a zip under a table's name": zipped({"../../evil.csv": b"text,label\n"}),
        "another column": "words,label\nx,1\n",
        "a column twice": "text,text,label\n" + "a,b,1\na,b,2\n" * 30,
        "a pickle under a table's name": PICKLE,
    },
)


def _parquet_of_lists(folder: Path) -> Path:
    pd.DataFrame({"text": [["x"]] * 60, "label": [{"a": n % 2} for n in range(60)]}).to_parquet(
        folder / "table.parquet"
    )
    return folder / "table.parquet"


def _cut_parquet(folder: Path) -> Path:
    path = _parquet_of_lists(folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def _folder_for_a_table(folder: Path) -> Path:
    (folder / "table.csv").mkdir()
    return folder / "table.csv"


def _link_to_a_device(folder: Path) -> Path:
    (folder / "table.csv").symlink_to("/dev/zero")
    return folder / "table.csv"


def _link_to_itself(folder: Path) -> Path:
    (folder / "table.csv").symlink_to(folder / "table.csv")
    return folder / "table.csv"


TABLES |= {
    "lists and maps in cells": _parquet_of_lists,
    "a parquet without its end": _cut_parquet,
    "a folder called like a table": _folder_for_a_table,
    "a link to an endless device": _link_to_a_device,
    "a link to itself": _link_to_itself,
}


def _folder(**files: Any) -> Writer:
    def write(folder: Path) -> Path:
        for name, content in files.items():
            path = folder / name.replace("__", ".")
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return folder

    return write


def _loop(folder: Path) -> Path:
    (folder / "config.json").symlink_to(folder / "config.json")
    return folder


FOLDERS |= {
    "an empty folder": _folder(),
    "a pickle alone": _folder(config__json=CONFIG, pytorch_model__bin=PICKLE, tokenizer__json=b"{}"),
    "code of its own": _folder(
        config__json=CONFIG | {"auto_map": {"AutoModel": "evil.Model"}, "model_type": "evil"},
        **{"evil__py": b"open('/tmp/subsecond-was-here', 'w')", "model__safetensors": b"", "tokenizer__json": b"{}"},
    ),
    "a configuration that is a list": _folder(config__json=[1, 2, 3], model__safetensors=b"", tokenizer__json=b"{}"),
    "a configuration cut off": _folder(config__json=b'{"hidden', model__safetensors=b"", tokenizer__json=b"{}"),
    "a configuration nested deep": _folder(config__json=b"[" * 100_000, model__safetensors=b"", tokenizer__json=b"{}"),
    "words for numbers": _folder(
        config__json=CONFIG | {"hidden_size": "many", "num_hidden_layers": None},
        model__safetensors=b"",
        tokenizer__json=b"{}",
    ),
    "sizes below nothing": _folder(
        config__json=CONFIG | {"hidden_size": -5, "num_attention_heads": 0},
        model__safetensors=b"",
        tokenizer__json=b"{}",
    ),
    "sizes beyond all memory": _folder(
        config__json=CONFIG | {"hidden_size": 10**9, "intermediate_size": 10**12, "vocab_size": 10**12},
        model__safetensors=b"",
        tokenizer__json=b"{}",
    ),
    "a configuration that links to itself": _loop,
    "bytes for a configuration": _folder(config__json=b"\xff\xfe\xfa", model__safetensors=b"", tokenizer__json=b"{}"),
}


def safetensors(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def _tensor(shape: list[int], offsets: list[int], kind: str = "F32") -> bytes:
    return json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}).encode()


_written(
    WEIGHTS,
    "model.safetensors",
    {
        "no weights": b"",
        "a header longer than the file": safetensors(b"{}", length=2**63),
        "a header of a gigabyte": safetensors(b"{}", length=2**30),
        "a header that is no JSON": safetensors(b"not json"),
        "a shape beyond all memory": safetensors(_tensor([2**31, 2**31], [0, 4]), b"0000"),
        "a shape that overflows": safetensors(_tensor([2**62, 4], [0, 0])),
        "a shape below nothing": safetensors(_tensor([-1, 4], [0, 16]), b"0" * 16),
        "offsets beyond the end": safetensors(_tensor([4], [10**9, 10**9 + 16])),
        "offsets that go back": safetensors(_tensor([4], [16, 0]), b"0" * 16),
        "an unknown type": safetensors(_tensor([4], [0, 16], "OBJECT"), b"0" * 16),
        "a pickle called weights": PICKLE,
        "a zip called weights": zipped({"../../evil": b"x" * 1000}),
        "a duplicate key": safetensors(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":3}', b"0000"),
    },
)


def _gguf(version: int = 3, tensors: int = 0, fields: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields) + rest


def _text(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


_written(
    GGUFS,
    "model.gguf",
    {
        "an empty GGUF": b"",
        "another magic": b"GGML" + b"\0" * 40,
        "an unknown version": _gguf(version=99),
        "endless tensors": _gguf(tensors=2**62),
        "endless fields": _gguf(fields=2**62),
        "a string beyond the end": _gguf(fields=1, rest=_text(b"general.architecture", 2**60)),
        "an unknown architecture": _gguf(
            fields=1, rest=_text(b"general.architecture") + struct.pack("<I", 8) + _text(b"evil")
        ),
        "an array of arrays without end": _gguf(
            fields=1, rest=_text(b"general.tags") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 2**40) * 50
        ),
    },
)

_written(
    TOKENIZERS,
    "tokenizer.json",
    {
        "no tokenizer": b"",
        "a tokenizer that is a list": "[]",
        "a tokenizer cut off": '{"version": "1.0", "model": {"type": "BPE", "vo',
        "a tokenizer nested deep": b"[" * 100_000,
        "an unknown kind of tokenizer": '{"version": "1.0", "model": {"type": "Evil"}}',
        "a pattern that never ends": json.dumps(
            {
                "version": "1.0",
                "model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"},
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False},
            }
        ),
    },
)

_written(
    TEMPLATES,
    "chat_template.jinja",
    {
        "a template that looks for classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "a template that opens files": "{{ cycler.__init__.__globals__.os.popen('touch /tmp/subsecond-was-here') }}",
        "a template that calls what is not there": "{{ messages.evil() }}",
        "a template of an endless range": "{% for a in range(10**12) %}x{% endfor %}",
        "a template that does not end": "{% for a in messages %}",
        "a template that includes files": "{% include '/etc/passwd' %}",
    },
)

_SPEC = {
    "task": "image-classification",
    "model": "fashion-mlp",
    "dataset": "fashion-mnist",
    "backend": {"name": "torch"},
}
_written(
    SPECS,
    "spec.json",
    {
        "a spec of another version": json.dumps(_SPEC | {"version": 2}),
        "a spec with more in it": json.dumps(_SPEC | {"evil": 1}),
        "a spec nested deep": b'{"task":' * 50_000,
        "a spec without numbers": '{"seed": NaN, "batch_size": Infinity}',
        "a spec that is a number": "1e999",
        "techniques as a map": json.dumps(_SPEC | {"techniques": {"a": 1}}),
        "params as lists": json.dumps(_SPEC | {"backend": {"name": "torch", "params": {"threads": [1, 2]}}}),
        "half a surrogate": b'{"model": "\\ud800"}',
    },
)

_written(
    DATABASES,
    "experiments.db",
    {
        "a text for a database": "hello",
        "a database's first bytes": b"SQLite format 3\0",
        "a database of noise": b"SQLite format 3\0" + b"\xff" * 8192,
        "a zip for a database": zipped({"a": b"x"}),
    },
)


def _folder_for_a_database(folder: Path) -> Path:
    (folder / "experiments.db").mkdir()
    return folder / "experiments.db"


DATABASES["a folder for a database"] = _folder_for_a_database

_written(
    RESULTS,
    "raw.npz",
    {
        "arrays with a pickle in them": zipped({"a.npy": npy(np.asarray([Bomb()], dtype=object))}),
        "arrays of another archive": zipped({"../../evil.npy": npy(np.zeros(3)), "b.txt": b"x"}),
        "an array beyond all memory": zipped(
            {"a.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"}
        ),
        "no archive": b"PK not really",
        "an archive cut off": zipped({"a.npy": npy(np.zeros(1000))})[:-30],
    },
)

ALL = (STUDIES, TABLES, FOLDERS, WEIGHTS, GGUFS, TOKENIZERS, TEMPLATES, SPECS, DATABASES, RESULTS)
