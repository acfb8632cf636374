"""Sessions of the page without a browser: ``python -m tests.benchmarks.page_sessions WS_ADDRESS COUNT``.

Each session does on its connection what Streamlit's page does: asks for a page, and then for a part of it again and
again, as often as the server has said. Half of them look at the frontier, half at the list of runs. A word is printed
when all have drawn once; at the end of the standard input they go, and say how often they asked.
"""

import asyncio
import sys
from itertools import cycle

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg  # noqa: TID251 - the page that is watched is Streamlit's
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg  # noqa: TID251

PAGES = ("", "runs")
READY = "ready\n"


class Session:
    """One open page."""

    def __init__(self, address: str, page: str) -> None:
        self._address, self._page = address, page
        self.drawn = asyncio.Event()
        self.polls = 0
        self._polling: dict[str, asyncio.Task[None]] = {}

    async def stay(self) -> None:
        """Open the page and keep it open until cancelled."""
        async with websockets.connect(
            self._address, subprotocols=[websockets.Subprotocol("streamlit")], max_size=None
        ) as connection:
            await connection.send(self._wish())
            async for data in connection:
                if not isinstance(data, bytes):
                    continue
                message = ForwardMsg.FromString(data)
                kind = message.WhichOneof("type")
                if kind == "auto_rerun":
                    self._poll(connection, message.auto_rerun.fragment_id, message.auto_rerun.interval)
                elif kind == "script_finished":
                    self.drawn.set()

    def _poll(self, connection: websockets.ClientConnection, fragment: str, seconds: float) -> None:
        if fragment not in self._polling:
            self._polling[fragment] = asyncio.create_task(self._ask_again(connection, fragment, seconds))

    async def _ask_again(self, connection: websockets.ClientConnection, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await connection.send(self._wish(fragment))
            self.polls += 1

    def _wish(self, fragment: str = "") -> bytes:
        wish = BackMsg()
        wish.rerun_script.page_name = self._page
        wish.rerun_script.fragment_id = fragment
        wish.rerun_script.is_auto_rerun = bool(fragment)
        return wish.SerializeToString()


async def _open(address: str, count: int) -> None:
    sessions = [Session(address, page) for page, _ in zip(cycle(PAGES), range(count), strict=False)]
    tasks = [asyncio.create_task(session.stay()) for session in sessions]
    await asyncio.gather(*(session.drawn.wait() for session in sessions))
    sys.stdout.write(READY)
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    sys.stdout.write(f"{sum(session.polls for session in sessions)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_open(sys.argv[1], int(sys.argv[2])))
