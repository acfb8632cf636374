"""In which ways queries can arrive."""

from typing import Any

from engine.registry import Registry
from engine.scenarios.base import Scenario
from engine.scenarios.offline import Offline
from engine.scenarios.response import OneResponse
from engine.scenarios.server import Server
from engine.scenarios.single_stream import SingleStream

SCENARIOS: Registry[Scenario[Any]] = Registry("scenario")
SCENARIOS.add(SingleStream())
SCENARIOS.add(Offline())
SCENARIOS.add(Server())
SCENARIOS.add(OneResponse())
