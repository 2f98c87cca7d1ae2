"""What may stand in a template: expressions, `if`, `for`, `set`, `with`, `filter`. Everything else is refused.

There is nothing to define or to call, so a template cannot recurse, and does what its loops say and no more. Before
it is compiled, loops are told what a round costs, and what else has a price or words for its errors is put in: see
`inner`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

from notify.templates.faults import Excess, Fault, shown
from notify.templates.filters import FILTERS, TESTS
from notify.templates.inner import ASSIGNED, COMPARED, CUT, OUTPUT, PRINTED, ROUNDS
from notify.templates.meter import weight_of_text

MOST_NODES = 5_000
"""Of one part. Text without anything to evaluate is one node, however long."""
_MOST_DEPTH = 64
# Each branch of an `if` is compiled with a list of them.
_MOST_ASSIGNED = 100
_ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.For,
    nodes.If,
    nodes.With,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.FilterBlock,
    nodes.Name,
    nodes.Const,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Compare,
    nodes.Operand,
    nodes.CondExpr,
    nodes.Concat,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
)
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Block: "`block`",
    nodes.CallBlock: "`call`",
    nodes.Extends: "`extends`",
    nodes.FromImport: "`import`",
    nodes.Import: "`import`",
    nodes.Include: "`include`",
    nodes.Macro: "`macro`",
    nodes.NSRef: "setting a part of a value",
    nodes.Pow: "`**`",
    nodes.Scope: "`autoescape`",
}


def examine(tree: nodes.Template) -> int:
    """How many nodes a template has. Raises Fault for what is not allowed in it, Excess for too much."""
    count, assigned = 0, set[str]()
    pending: list[tuple[nodes.Node, int]] = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        count += 1
        if count > MOST_NODES:
            raise Excess(f"has more than {MOST_NODES} names, values and operations")
        if isinstance(node, nodes.Name) and node.ctx == "store":
            assigned.add(node.name)
        if len(assigned) > _MOST_ASSIGNED:
            raise Excess(f"assigns values to more than {_MOST_ASSIGNED} names{_line(node)}")
        if depth > _MOST_DEPTH:
            raise Excess(f"is nested deeper than {_MOST_DEPTH} levels{_line(node)}")
        if (refusal := _refusal(node)) is not None:
            raise Fault(f"{refusal}{_line(node)}")
        pending += ((child, depth + 1) for child in node.iter_child_nodes())
    return count


def priced(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """The template, changed so that it pays for what it does. It must have been examined."""
    _Meters().visit(tree)
    tree.set_environment(environment)
    return tree


def _refusal(node: nodes.Node) -> str | None:
    """What is wrong with a node itself; None: nothing."""
    match node:
        case nodes.Filter() | nodes.Test() | nodes.Call():
            return _arguments(node) or _named(node)
        case nodes.Name(name="self"):
            return "there is no `self` here, and it cannot be printed or assigned"
        case nodes.Tuple() if any(isinstance(item, nodes.Slice) for item in node.items):
            return "a text or a list can be cut once only between `[` and `]`"
        case nodes.For():
            return "`recursive` is not allowed here" if node.recursive else None
        case nodes.Const(value=float() as value):
            return None if math.isfinite(value) else "a number is out of range"
        case nodes.Pair():
            return None if isinstance(node.key, nodes.Const) else "the keys of an object must be constants"
    if isinstance(node, _ALLOWED):
        return None
    return f"{_REFUSED.get(type(node), f'`{type(node).__name__.lower()}`')} is not allowed here"


def _arguments(node: nodes.Filter | nodes.Test | nodes.Call) -> str | None:
    """What is wrong with how arguments are given."""
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "`*` and `**` are not allowed before an argument"
    keys = sorted(argument.key for argument in node.kwargs if isinstance(argument, nodes.Keyword))
    twice = next((key for key, other in pairwise(keys) if key == other), None)
    return None if twice is None else f"the argument `{shown(twice)}` is given twice"


def _named(node: nodes.Filter | nodes.Test | nodes.Call) -> str | None:
    """What is wrong with what is applied or called."""
    if isinstance(node, nodes.Filter):
        return _unknown("filter", node.name, FILTERS) or _mapped(node)
    if isinstance(node, nodes.Test):
        return _unknown("test", node.name, TESTS)
    if not _is_cycle(node):
        return "calls are not allowed here, filters are: `name|upper`, `prices|items`"
    return None if node.args and not node.kwargs else "`loop.cycle` takes what it goes through, without names"


def _unknown(kind: str, name: object, known: Mapping[str, Any]) -> str | None:
    return None if name in known else f"there is no {kind} named `{shown(name)}`"


def _mapped(node: nodes.Filter) -> str | None:
    """What is wrong with a filter or test that `map`, `select` and `reject` are to apply, where it stands there."""
    places = {"map": (0, FILTERS), "select": (0, TESTS), "reject": (0, TESTS), "selectattr": (1, TESTS)}
    place, known = places.get(node.name, (1, TESTS) if node.name == "rejectattr" else (0, None))
    named = node.args[place] if known is not None and len(node.args) > place else None
    if known is None or not isinstance(named, nodes.Const):
        return None
    return _unknown("filter" if known is FILTERS else "test", named.value, known)


def _is_cycle(call: nodes.Call) -> bool:
    function = call.node
    return (
        isinstance(function, nodes.Getattr)
        and function.attr == "cycle"
        and isinstance(function.node, nodes.Name)
        and function.node.name == "loop"
    )


def _line(node: nodes.Node) -> str:
    return f" (line {node.lineno})" if node.lineno else ""


class _Meters(NodeTransformer):
    """Puts around expressions what pays for them. And what the filter of a block makes is printed as all else is: Jinja
    would take it for HTML as it is, also where it is a variable."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # Jinja calls it so
        steps = _steps([node.target, *node.body, *([node.test] if node.test is not None else [])])
        self.generic_visit(node)
        node.iter = _around(node.iter, ROUNDS, steps, _names(node.target))
        return node

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.node = _around(node.node, ASSIGNED, _names(node.target))
        return node

    def visit_With(self, node: nodes.With) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        pairs = zip(node.targets, node.values, strict=True)
        node.values = [_around(value, ASSIGNED, _names(target)) for target, value in pairs]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _around(node.expr, COMPARED, *(part for operand in node.ops for part in (operand.op, operand.expr)))

    def visit_FilterBlock(self, node: nodes.FilterBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.filter = _around(node.filter, OUTPUT)
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.filter is not None:
            node.filter = _around(node.filter, OUTPUT)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_around(part, PRINTED) for part in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _around(node.node, CUT, node.arg.start, node.arg.stop, node.arg.step)
        return node


def _around(node: Any, name: str, *values: nodes.Node | str | int | None) -> nodes.Filter:
    args = [each if isinstance(each, nodes.Node) else nodes.Const(each, lineno=node.lineno) for each in values]
    return nodes.Filter(node, name, args, [], None, None, lineno=node.lineno)


def _names(target: nodes.Node) -> int:
    """How many names a value is unpacked into; 0: it is not."""
    return len(target.items) if isinstance(target, nodes.Tuple) else 0


def _steps(trees: Iterable[nodes.Node]) -> int:
    """What a round costs: a step for each node, and for text that stands there what any text of its length costs."""
    steps, pending = 0, list(trees)
    while pending:
        node = pending.pop()
        steps += weight_of_text(len(node.data)) if isinstance(node, nodes.TemplateData) else 1
        pending += node.iter_child_nodes()
    return steps
