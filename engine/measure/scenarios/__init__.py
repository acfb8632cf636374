"""In which ways queries can arrive."""

from typing import Any

from engine.measure.scenarios.base import Scenario
from engine.measure.scenarios.offline import Offline
from engine.measure.scenarios.server import Server
from engine.measure.scenarios.single_stream import SingleStream
from engine.registry import Registry

SCENARIOS: Registry[Scenario[Any]] = Registry("scenario")
SCENARIOS.add(SingleStream())
SCENARIOS.add(Offline())
SCENARIOS.add(Server())
