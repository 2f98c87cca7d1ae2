"""The HTTP API.

`app` puts it together. A request goes through `front` (raw path, headers, timing), the framework's routing, `auth`
(the gate), and its handler: `schedule`, `notifications`, `listing`, `batches`, `recipients`, `inbox` or `health`.
Handlers read their input with `bodies`, run calls of `notify.calls`, under an Idempotency-Key through
`idempotency`, or `show` one thing, and answer with structs. What they raise becomes problem+json in `problems`.

`shapes` and `replies` are what goes in and comes out; `routes`, `openapi` and `examples` say it to others.
"""
