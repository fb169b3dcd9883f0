"""`WS /ws/{session_id}`: who may open a socket, in which protocol, and for which session."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from server import protocol
from server.attempts import Handshakes
from server.connection import Connection
from server.errors import SocketRefused
from server.hub import Hub
from server.protocol import BadFrame, Close
from server.security import origin_is_allowed

logger = logging.getLogger("chatroom.socket")


async def participant_socket(websocket: WebSocket) -> None:
    """Serve a participant's socket. An error that nobody foresaw costs this socket and nothing else."""
    if not origin_is_allowed(websocket):
        await websocket.close()  # before accept: the handshake is answered 403
        return
    is_plain = protocol.SUBPROTOCOL not in websocket.scope["subprotocols"]
    await websocket.accept(None if is_plain else protocol.SUBPROTOCOL)
    try:
        await _serve(websocket, is_plain)
    except SocketRefused as refused:
        await _close(websocket, refused.close_code, refused.reason)
    except WebSocketDisconnect:
        pass
    except Exception as error:  # task boundary: a socket's failure is its own
        logger.error("a participant's socket failed", exc_info=error)
        await _close(websocket, Close.INTERNAL, "internal error")


async def _serve(websocket: WebSocket, is_plain: bool) -> None:
    hub: Hub = websocket.state.hub
    handshakes: Handshakes = websocket.state.handshakes
    session_id = websocket.path_params["session_id"]
    if handshakes.count(session_id):
        raise SocketRefused(Close.TOO_FAST, "too many connections")
    after = 0 if is_plain else await _hello(websocket)
    session = await hub.session(session_id)
    connection = Connection(
        websocket,
        session,
        number=hub.next_connection_number(session_id),
        allowance=hub.allowance(session_id),
        is_plain=is_plain,
        after=len(session.transcript) if is_plain else after,
    )
    hub.attach(session_id, connection, resumable=not is_plain)
    await connection.run()


async def _hello(websocket: WebSocket) -> int:
    """Wait for the first frame of `chatroom.v1` and return its `after`; whatever comes before it gets its error."""
    try:
        async with asyncio.timeout(protocol.HELLO_SECONDS):
            for _ in range(protocol.FRAMES_FOR_HELLO):
                try:
                    frame = protocol.client_frame(await _data(websocket))
                    if isinstance(frame, protocol.Hello):
                        return frame.after
                    raise BadFrame("hello_first", "the first frame must be hello")
                except BadFrame as bad:
                    await websocket.send_text(protocol.error(bad.code, bad.message, bad.client_message_id))
    except TimeoutError:
        pass
    raise SocketRefused(Close.NOT_ALLOWED, "no hello")


async def _data(websocket: WebSocket) -> bytes | None:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    data = protocol.data_of(message)
    if data is not None and len(data) > protocol.MAX_FRAME_BYTES:
        raise SocketRefused(Close.TOO_BIG, "frame too big")
    return data


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the other side may have been faster
        await websocket.close(code, reason)
