"""Transformer fusion: attention, normalisation and activation of an exported encoder become one operator each."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights


class FuseConfig(TechniqueConfig):
    """Parameters of transformer fusion."""

    attention: bool = Field(default=True, title="Attention", description="Projections, scores and mask in one operator")
    embeddings: bool = Field(
        default=True, title="Embeddings", description="Word, position and type embeddings with their normalisation"
    )
    gelu: bool = Field(default=True, title="Activation", description="Bias and GELU in one operator")
    layer_norm: bool = Field(
        default=True, title="Normalisation", description="Residual sum and layer normalisation in one operator"
    )


class Fuse(ArtifactTechnique[FuseConfig]):
    """ONNX Runtime's offline transformer optimiser, which knows patterns that its loader does not."""

    name = "fuse"
    title = "Transformer fusion"
    summary = "Attention and normalisation as one operator each; costs no accuracy, and int8 gains more after it."
    group = Group.GRAPH
    config_type = FuseConfig
    tasks = frozenset({Task.TEXT_CLASSIFICATION})
    formats = frozenset({"onnx"})

    def apply(self, artifact: Artifact, config: FuseConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Rewrite the graph.

        Raises:
            ExportError: if the graph has none of the patterns.
        """
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_model

        copy_beside_weights(artifact, folder)
        options = FusionOptions("bert")
        options.enable_attention = config.attention
        options.enable_embed_layer_norm = config.embeddings
        options.enable_gelu = options.enable_bias_gelu = config.gelu
        options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = config.layer_norm
        heads, width = artifact.manifest.heads, artifact.manifest.head_width
        fused = 0
        for name in artifact.manifest.weights:
            graph = optimize_model(
                str(artifact.folder / name),
                model_type="bert",
                num_heads=heads,
                hidden_size=heads * width,
                optimization_options=options,
                opt_level=0,
            )
            counts = {kind: count for kind, count in graph.get_fused_operator_statistics().items() if count}
            fused += sum(counts.values())
            context.note(", ".join(f"{count} {kind}" for kind, count in counts.items()))
            graph.save_model_to_file(str(folder / name))
        if not fused:
            raise ExportError("Nothing in this graph could be fused; leave fuse out.")
        return Artifact.write(folder, artifact.manifest)
