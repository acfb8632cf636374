"""N:M sparsity: of every M neighbouring weights only the N largest live, a pattern that sparse tensor cores can use."""

from __future__ import annotations

from pydantic import Field

from engine.errors import InvalidValueError
from engine.models.base import ModelFacts, TrainedModel, TrainingContext
from engine.models.sparsity import Masks
from engine.models.training import fine_tune
from engine.techniques.base import Group, ModelTechnique, TechniqueConfig


class PruneNMConfig(TechniqueConfig):
    """Parameters of N:M pruning."""

    n: int = Field(default=2, ge=1, le=31, title="N", description="Weights that live of each group")
    m: int = Field(default=4, ge=2, le=32, title="M", description="Neighbouring weights in a group")
    recovery_epochs: float = Field(
        default=1.0,
        ge=0,
        le=50,
        title="Recovery",
        description="Fine-tuning with the zeros held",
        json_schema_extra={"unit": "epochs"},
    )


class PruneNM(ModelTechnique[PruneNMConfig]):
    """Keeps the largest N of every M weights along the input of a layer."""

    name = "prune-nm"
    title = "N:M pruning"
    summary = "Keeps 2 of every 4 weights: the pattern of sparse tensor cores; processors run it no faster."
    group = Group.PRUNING
    config_type = PruneNMConfig

    def check(self, config: PruneNMConfig, facts: ModelFacts) -> None:
        """Refuse to keep everything."""
        if config.n >= config.m:
            raise InvalidValueError(f"prune-nm: n={config.n} of m={config.m} keeps every weight; choose n below m.")

    def apply(self, model: TrainedModel, config: PruneNMConfig, context: TrainingContext) -> TrainedModel:
        """Zero by the pattern and recover with the zeros held."""
        Masks(model.module).keep_n_of_m(config.n, config.m)
        fine_tune(model, context, config.recovery_epochs)
        return model
