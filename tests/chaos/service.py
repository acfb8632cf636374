"""``python -m tests.chaos.service DATABASE [STALE_S]``: the real service, in a hurry, with the campaign's workers."""

import signal
import sys
from dataclasses import replace

from engine.executors.local import LocalExecutor
from engine.service import Pace, Service
from engine.store.store import Store
from tests.fakes import MACHINE

PACE = Pace(beat_s=0.3, stale_after_s=2.0, look_s=0.05, cancel_s=0.2, progress_s=0.05, retry_s=0.1)
WORKER = (sys.executable, "-m", "tests.chaos.worker")

if __name__ == "__main__":
    store = Store(sys.argv[1])
    pace = PACE if len(sys.argv) < 3 else replace(PACE, stale_after_s=float(sys.argv[2]))
    service = Service(store, LocalExecutor(store.runs_folder, slots=2, command=WORKER), machine_id=MACHINE, pace=pace)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    service.run()
    store.close()
