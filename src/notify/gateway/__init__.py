"""Websockets: signals come in, frames go out, holes are filled from rows.

listener.py   the connection that LISTENs           signals.py    payloads → lines, in order
hub.py        who is connected here                 connection.py one socket and the task that writes to it
position.py   what a connection was sent            stream.py     pages of rows
contents.py   batches, encoded once                 frames.py     the format of all that is sent
lookout.py    the poll behind the signals, ticks    watch.py      slow sockets, credentials
websocket.py  the endpoint                          request.py admission.py messages.py cursor.py   its parts
acks.py       acknowledgements, gathered            closing.py    close codes
gateway.py    puts it together
"""

from notify.gateway.gateway import Gateway, Stats
from notify.gateway.websocket import PATH as WEBSOCKET_PATH
from notify.gateway.websocket import websocket_routes

__all__ = ["WEBSOCKET_PATH", "Gateway", "Stats", "websocket_routes"]
