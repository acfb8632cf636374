"""Keeping third-party chatter out of a user's log."""

import logging
import os


def quiet_libraries() -> None:
    """Silence progress bars, load reports and import notices of the ML libraries; errors still show."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    chatty = (
        "nncf",
        "torchao",
        "torch.utils._pytree",
        "torch.distributed",
        "transformers",
        "torch.onnx",
        "onnxruntime.quantization",
    )
    for name in chatty:
        logging.getLogger(name).setLevel(logging.ERROR)


def without_telemetry() -> None:
    """Keep OpenVINO and NNCF from telling their makers what is done here; this is the one switch they heed."""
    os.environ["CI"] = "true"
