"""Ways to reach a recipient outside: the protocol, and one module a channel.

`protocol` is all that a channel knows of the rest. Deliveries, retries and limits are not a channel's business: it
sends one message and says what came of it.
"""
