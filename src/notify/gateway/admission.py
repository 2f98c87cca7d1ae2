"""Who may hold a socket: the credential it came with, and its renewal."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from notify.access import Principal
from notify.errors import Forbidden, InvalidValue, NotFound
from notify.gatekeeper import Gatekeeper

_RECIPIENT_MAX_BYTES = 128


class Pass(msgspec.Struct, frozen=True):
    """An admitted credential. That of an API key is kept, to ask again whether it still holds."""

    principal: Principal
    credential: str | None

    @property
    def key(self) -> str | None:
        """The name of the API key; None for a token."""
        return None if self.credential is None else self.principal.name

    def has_expired(self) -> bool:
        """Whether its time is over."""
        ends = self.principal.expires_at
        return ends is not None and ends <= datetime.now(UTC)


async def admit(gatekeeper: Gatekeeper, credential: str, address: str = "") -> Pass:
    """Check a credential. Raises Unauthenticated, or Forbidden for a key that may not read."""
    principal = await gatekeeper.admit(credential, address)
    if principal.recipient is not None:
        return Pass(principal, None)
    principal.require("read")
    return Pass(principal, credential)


def owner(admitted: Pass, asked: str | None) -> str:
    """Whose stream it is. Raises Forbidden where a token asks for another's, InvalidValue where a key says none."""
    own = admitted.principal.recipient
    if own is not None:
        if asked not in (None, own):
            raise Forbidden("a token opens the stream of its own recipient only")
        return own
    if not asked:
        raise InvalidValue("with an API key the URL must name a recipient", field="recipient")
    if len(asked.encode()) > _RECIPIENT_MAX_BYTES or "\0" in asked:
        raise NotFound("there is no such recipient")
    return asked


def check_renewal(admitted: Pass, recipient: str) -> None:
    """Raises Forbidden when the new credential is of another recipient."""
    if admitted.principal.recipient not in (None, recipient):
        raise Forbidden("a connection can be renewed only by a token of its own recipient")
