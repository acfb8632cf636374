"""What compression can be chosen; the order of registration is the order in a default stack."""

from typing import Any

from engine.registry import Registry
from engine.techniques.base import Technique
from engine.techniques.bucket_length import BucketLength
from engine.techniques.distill import Distill
from engine.techniques.early_exit import EarlyExit
from engine.techniques.fuse import Fuse
from engine.techniques.half import Bf16, Fp16
from engine.techniques.int4_affine import Int4Affine
from engine.techniques.int4_gptq import Int4Gptq
from engine.techniques.int4_mixed import Int4Mixed
from engine.techniques.int8_dynamic import Int8Dynamic
from engine.techniques.int8_litert import Int8LiteRt
from engine.techniques.int8_nncf import Int8Nncf
from engine.techniques.int8_qat import Int8Qat
from engine.techniques.int8_static import Int8Static
from engine.techniques.kv_cache import KVCache
from engine.techniques.prompt_lookup import PromptLookup
from engine.techniques.prune_gradual import PruneGradual
from engine.techniques.prune_layers import PruneLayers
from engine.techniques.prune_magnitude import PruneMagnitude
from engine.techniques.prune_nm import PruneNM
from engine.techniques.prune_structured import PruneStructured
from engine.techniques.prune_wanda import PruneWanda
from engine.techniques.self_draft import SelfDraft
from engine.techniques.weight_only import Int4WeightOnly, Int8WeightOnly
from engine.techniques.weights_nncf import WeightsNncf

TECHNIQUES: Registry[Technique[Any]] = Registry("technique")
TECHNIQUES.add(Distill())
TECHNIQUES.add(PruneLayers())
TECHNIQUES.add(PruneStructured())
TECHNIQUES.add(PruneMagnitude())
TECHNIQUES.add(PruneNM())
TECHNIQUES.add(PruneGradual())
TECHNIQUES.add(PruneWanda())
TECHNIQUES.add(Int8Qat())
TECHNIQUES.add(EarlyExit())
TECHNIQUES.add(Fuse())
TECHNIQUES.add(Fp16())
TECHNIQUES.add(Bf16())
TECHNIQUES.add(Int8Dynamic())
TECHNIQUES.add(Int8Static())
TECHNIQUES.add(Int8Nncf())
TECHNIQUES.add(Int8LiteRt())
TECHNIQUES.add(Int8WeightOnly())
TECHNIQUES.add(Int4WeightOnly())
TECHNIQUES.add(Int4Mixed())
TECHNIQUES.add(Int4Affine())
TECHNIQUES.add(Int4Gptq())
TECHNIQUES.add(WeightsNncf())
TECHNIQUES.add(BucketLength())
TECHNIQUES.add(KVCache())
TECHNIQUES.add(PromptLookup())
TECHNIQUES.add(SelfDraft())
