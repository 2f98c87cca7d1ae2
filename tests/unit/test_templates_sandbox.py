"""Hostile templates and variables: nothing behind a value is reached, and no rendering costs much."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from typing import Any

import pytest

from helpers.templates import one_locale, refused, rendered
from notify.errors import InvalidValue, LimitExceeded
from notify.templates import Template, Texts, check, meter, render
from notify.templates.filters import FILTERS
from notify.templates.sandbox import _Kept, compiled

# Of this thread's processor, and generous: it is a third of a second.
_MOST_SECONDS = 3.0
_MOST_BYTES = 100_000_000

FORBIDDEN: list[tuple[str, str]] = [
    ("{{ x.upper() }}", "calls"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "calls"),
    ("{{ range(3) }}", "calls"),
    ("{{ lipsum() }}", "calls"),
    ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "calls"),
    ("{{ '{0.__class__}'.format(x) }}", "calls"),
    ("{{ loop.changed(x) }}", "calls"),
    ("{{ loop['cycle'](x) }}", "calls"),
    ("{% set ns = namespace(a=1) %}", "calls"),
    ("{% set x.a = 1 %}", "setting a part"),
    ("{{ x|attr('__class__') }}", "no filter named `attr`"),
    ("{{ x|pprint }}", "no filter named `pprint`"),
    ("{{ x|map('attr', '__class__') }}", "no filter named `attr`"),
    ("{{ x|map('weighed value') }}", "no filter named `weighed value`"),
    ("{{ x is callable }}", "no test named `callable`"),
    ("{{ 2 ** 3 }}", "`**`"),
    ("{% for a in x %}{{ loop.cycle(*x) }}{% endfor %}", "`*` and `**` are not allowed before an argument"),
    ("{{ '%s'|format(*x) }}", "`*` and `**` are not allowed before an argument"),
    ("{{ x|default(**x) }}", "`*` and `**` are not allowed before an argument"),
    ("{{ x is eq(*x) }}", "`*` and `**` are not allowed before an argument"),
    ("{% include 'x' %}", "`include`"),
    ("{% import 'x' as y %}", "`import`"),
    ("{% from 'x' import y %}", "`import`"),
    ("{% extends 'x' %}", "`extends`"),
    ("{% block x %}{% endblock %}", "`block`"),
    ("{% macro m() %}{% endmacro %}", "`macro`"),
    ("{% call x() %}{% endcall %}", "`call`"),
    ("{% autoescape false %}{{ x }}{% endautoescape %}", "`autoescape`"),
    ("{% for a in x recursive %}{{ loop(a) }}{% endfor %}", "not allowed"),
    ("{% do x %}", "unknown tag"),
    ("{% debug %}", "unknown tag"),
    ("{% trans %}x{% endtrans %}", "unknown tag"),
    ("{% break %}", "unknown tag"),
]


@pytest.mark.parametrize(("source", "reason"), FORBIDDEN, ids=lambda given: given[:40])
def test_what_is_forbidden_is_refused_at_once(source: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(one_locale(Texts("T", f"{{% if false %}}{source}{{% endif %}}")))
    assert caught.value.field == "locales.en.message"
    assert reason in str(caught.value)


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ x['__class__'] }}",
    "{{ [].__class__ }}",
    "{{ {}.__class__ }}",
    "{{ {}.items }}",
    "{{ {}.get }}",
    "{{ 1 .real }}",
    "{{ x.upper }}",
    "{{ x['upper'] }}",
    "{{ x|map(attribute='__class__')|join }}",
    "{{ [x]|map(attribute='__class__.__mro__.1')|join }}",
    "{{ ([x]|groupby('__class__')).0.0 }}",
    "{{ [x]|sum(attribute='__class__') }}",
    "{{ ('%(a)s'|safe).format_map }}",
    "{{ ('x'|safe).__html__ }}",
    "{{ ('x'|safe).unescape }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self['x'] }}",
    "{% for a in [1] %}{{ loop.__init__ }}{% endfor %}",
    "{% for a in [1] %}{{ loop._iterator }}{% endfor %}",
    "{% for a in [1] %}{{ loop['_iterator'] }}{% endfor %}",
    "{% for a in [1] %}{{ loop.changed }}{% endfor %}",
    "{% for a in [1] %}{{ loop.cycle.__func__ }}{% endfor %}",
    "{% for a in [1] %}{{ [loop]|map(attribute='_iterable')|first }}{% endfor %}",
    "{{ ({}|items).__class__ }}",
    "{{ nosuch.__class__ }}",
    "{{ (1 if false).__class__ }}",
    "{{ ([1]|groupby('x')).0._fields }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_there_is_no_way_from_a_value_to_code(source: str) -> None:
    for part in ("message", "html"):
        texts = Texts(**({"title": "T", "message": "M"} | {part: source}))
        with pytest.raises(InvalidValue) as caught:
            render(one_locale(texts), {"x": "x"})
        told = str(caught.value)
        assert "is missing" in told or "there is no" in told or "no else section" in told, told


def test_names_of_python_are_variables_like_others() -> None:
    names = [
        "range",
        "dict",
        "lipsum",
        "cycler",
        "joiner",
        "namespace",
        "environment",
        "context",
        "resolve",
        "undefined",
    ]
    for name in [*names, "str", "escape", "Markup", "missing", "concat", "blocks", "root", "None_", "_x"]:
        assert "is missing" in refused(f"{{{{ {name} }}}}", f"variables.{name}")
        assert rendered(f"{{{{ {name} }}}}", **{name: "mine"}) == "mine"


def _doubled(name: str, first: str, times: int = 60) -> str:
    """A list that holds one list twice, and so on: 2^times items in little memory."""
    return f"{{% set {name} = {first} %}}" + f"{{% set {name} = [{name}, {name}] %}}" * times


_ZEROS = [0] * 8_000
# Small things that would make large ones.
LARGE: dict[str, str] = {
    "a text many times": "{{ 'a' * 1000000000 }}",
    "many times a text": "{{ 1000000000 * 'a' }}",
    "a list many times": "{{ ([1] * 1000000000)|length }}",
    "a power": "{{ 10 ** 10 ** 8 }}",
    "a power of a text": "{{ 'a' * 10**9 }}",
    "a product of products": "{% set n = 9999999999 %}" + "{% set n = n * n %}" * 30 + "{{ n }}",
    "a product of long numbers": "{% set n = ('f' * 60000)|int(0, 16) %}{{ n * n }}",
    "a remainder of long numbers": "{% set n = ('f' * 200000)|int(0, 16) %}{{ n % (n // 3) }}",
    "divided long numbers": "{% set n = ('f' * 200000)|int(0, 16) %}{{ n is divisibleby(('e' * 100000)|int(0, 16)) }}",
    "a printed long number": "{{ ('f' * 200000)|int(0, 16) }}",
    "a sum of long numbers": "{{ [('f' * 200000)|int(0, 16)]|sum }}",
    "a wide number": "{{ '%1000000000d'|format(1) }}",
    "a wide number by operator": "{{ '%1000000000d' % 1 }}",
    "a wide number by test": "{{ '%1000000000d' is odd }}{{ '%1000000000d' is divisibleby 3 }}",
    "an exact number": "{{ '%.1000000000f'|format(1) }}{{ 1.5|round(1000000000) }}",
    "a rounded number": "{{ 15|round(-1000000000) }}{{ 15|round(1000000000, 'floor') }}",
    "many wide numbers": "{{ ('%999d' * 20000)|format(*y) }}",
    "a text in the middle": "{{ 'x'|center(1000000000) }}",
    "an indented text": "{{ 'x\ny'|indent(1000000000) }}",
    "indented by a text": "{{ ('\n' * 100000)|indent('x' * 100000) }}",
    "indented JSON": "{{ [1]|tojson(1000000000) }}",
    "replaced by more": "{{ ('a' * 60000)|replace('a', 'b' * 60000) }}",
    "nothing replaced by more": "{{ ('a' * 60000)|replace('', 'b' * 60000) }}",
    "joined by more": "{{ y|join('b' * 60000) }}",
    "text and text": "{% set s = 'x' %}" + "{% set s = s ~ s %}" * 60 + "{{ s }}",
    "text plus text": "{% set s = 'x' %}" + "{% set s = s + s %}" * 60 + "{{ s }}",
    "text by blocks": "{% set s = 'x' %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 60 + "{{ s }}",
    "escaped again and again": "{% set s = '&' * 60000 %}" + "{% set s = s|forceescape|string ~ '' %}" * 60 + "{{ s }}",
    "encoded again and again": "{% set s = '%' * 60000 %}" + "{% set s = s|urlencode %}" * 60 + "{{ s }}",
}
# Small things that would take long.
LONG: dict[str, str] = {
    "loops in loops": "{% for a in y %}{% for b in y %}{% for c in y %}{{ c }}{% endfor %}{% endfor %}{% endfor %}",
    "loops that print nothing": "{% for a in y %}{% for b in y %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}x",
    "loops that filter": "{% for a in y %}{% for b in y if b == 7 %}{% endfor %}{% endfor %}x",
    "loops with a length": "{% for a in y %}{% for b in y if b == 7 %}{{ loop.length }}{% endfor %}{% endfor %}x",
    "filters in loops": "{% for a in y %}{% set b = y|sort|unique|list %}{% endfor %}x",
    "tests in loops": "{% for a in y %}{% if 7 in y %}{% endif %}{% if 7 is in y %}{% endif %}{% endfor %}x",
    "slices in loops": "{% for a in y %}{% set b = y[::-1] %}{% endfor %}x",
    "texts in loops": "{% for a in y %}{% set b = long|upper %}{% endfor %}x",
    "comparisons in loops": "{% for a in y %}{% if y == z %}{% endif %}{% endfor %}x",
    "maps of maps": "{{ y" + "|map('string')" * 50 + "|join|length }}",
    "long paths": "{% for a in y %}{{ y|map(attribute='" + "a." * 20_000 + "a')|list|length }}{% endfor %}",
    "long paths for sorting": "{{ y|sort(attribute='" + "a," * 20_000 + "a')|length }}",
    "a long default for each": "{% for a in y %}{% set b = y|groupby('a', default=y) %}{% endfor %}x",
    "a long text for each": "{% for a in y %}{% set b = y|groupby('a', default=long) %}{% endfor %}x",
    "words": "{% set s = 'a ' * 100000 %}{% for a in y %}{% set b = s|title %}{% endfor %}x",
    "characters": "{% set s = 'a ' * 100000 %}{% for a in y %}{% set b = s|unique|list %}{% endfor %}x",
    "percents": "{% set s = '%%' * 100000 %}{% for a in y %}{% set b = s|format %}{% endfor %}x",
    "doubled lists compared": _doubled("a", "[1]") + _doubled("b", "[1]") + "{{ a == b }}",
    "doubled lists in lists": _doubled("a", "[1]") + _doubled("b", "[1]") + "{{ a in [b] }}{{ [b]|unique|length }}",
    "doubled lists tested": _doubled("a", "[1]") + _doubled("b", "[1]") + "{{ a is eq b }}",
    "doubled lists as JSON": _doubled("a", "[1]") + "{{ a|tojson }}",
    "doubled lists as text": _doubled("a", "[1]") + "{{ a|string }}",
    "doubled lists joined": _doubled("a", "[1]") + "{{ a|join }}{{ 'x' ~ a }}",
    "doubled lists called": _doubled("a", "[1]") + "{% set loop = {'cycle': a} %}{{ loop.cycle(1) }}",
    "doubled lists missed": _doubled("a", "[1]") + "{{ a[7] }}{{ {}[a] }}",
    "doubled lists as arguments": _doubled("a", "[1]") + "{{ 1|round(a) }}{{ [1]|map(a) }}{{ 1|int(a, a) }}",
    "doubled lists for attributes": _doubled("a", "[1]") + "{{ [1]|sort(attribute=a)|join }}",
    "doubled lists to cut by": _doubled("a", "[1]") + "{{ 'x'[a:] }}",
    "doubled lists to count with": _doubled("a", "[1]") + "{{ a * 2 }}{{ -a }}",
    "doubled lists unpacked": _doubled("a", "[1]") + "{% for x, y, z in [a] %}{% endfor %}",
    "doubled lists escaped": _doubled("a", "[1]") + "{{ a|e }}{{ a|safe }}",
    "doubled tuples as keys": "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 60 + "{{ {'x': 1}[a] }}",
    "doubled tuples sorted": "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 60 + "{{ [a, a]|sort|length }}",
    "long lists in long lists": "{% set a = y|map('default', y, true)|list %}"
    "{% set b = a|map('default', a, true)|list %}{% set c = y|map('default', b, true)|list %}{{ c == b }}",
    "cycles in loops": "{% for a in y %}{% for b in y %}{{ loop.cycle('', '') }}{% endfor %}{% endfor %}x",
    "many braces": "{{ " * 20_000,
    "many blocks": "{% " * 20_000,
    "many comments": "{# " * 20_000,
    "many quotes": "{{ '" + "\\'" * 30_000,
    "many brackets": "{{ " + "[" * 60_000,
    "many terms": "{{ 1" + "+1" * 30_000 + " }}",
    "many nots": "{{ " + "not " * 15_000 + "1 }}",
    "many ifs in one another": "{% if 1 %}" * 6_000,
    "many loops in one another": "{% for a in y %}" * 30 + "x" + "{% endfor %}" * 30,
    "many branches": "{% if 0 %}x" + "{% elif 0 %}x" * 4_000 + "{% endif %}",
}  # fmt: skip


VARIABLES: dict[str, Any] = {"y": _ZEROS, "z": list(_ZEROS), "long": "x" * 16_000}


def _refused(part: str, source: str) -> None:
    texts = Texts(**({"title": "T", "message": "M"} | {part: source}))
    with pytest.raises(InvalidValue) as caught:
        render(one_locale(texts), VARIABLES)
    assert caught.value.field in (f"locales.en.{part}", "variables")


@pytest.mark.parametrize("source", (LARGE | LONG).values(), ids=LARGE | LONG)
def test_bombs_take_no_time(source: str) -> None:
    for part in ("message", "html"):
        begun = time.thread_time()
        _refused(part, source)
        assert time.thread_time() - begun < _MOST_SECONDS


@pytest.mark.parametrize("source", LARGE.values(), ids=LARGE)
def test_bombs_take_no_memory(source: str) -> None:
    tracemalloc.start()
    try:
        _refused("title", source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < _MOST_BYTES


# Where more is made than it seems: each was rendered once, and cost much more than it paid. Here they are small.
UNPAID: dict[str, tuple[str, str, str]] = {
    "text that stands in a loop": (
        "message", "{% set x %}{% for a in y %}" + "A" * 2_000 + "{% endfor %}{% endset %}x", "500000 steps"),
    "text that a block joins": (
        "message", "{% set x %}{% for a in y %}" + "A" * 100 + "{% endfor %}{% endset %}x", "262144 characters"),
    "text that a filter's block joins": (
        "html", "{% filter length %}{% for a in y %}" + "A" * 100 + "{% endfor %}{% endfilter %}", "262144 characters"),
    "text that a block escapes": (
        "html", "{% set x %}{% for a in y %}{{ '\"\"\"\"\"\"\"\"' }}{% endfor %}{% endset %}x", "262144 characters"),
    "a list of characters": ("message", "{% set a = [" + "(long * 8)|list, " * 4 + "] %}x", "500000 steps"),
    "many characters to trim": ("message", "{% set x = long|trim(long) %}x", "64 characters to take away"),
    "a long number by int": ("message", "{% set x = ('f' * 2000)|int(0, 16) %}x", "integer of more than 4096 bits"),
    "a long number with a sign": ("message", "{% set x = -n %}x", "integer of more than 4096 bits"),
    "a number out of range by float": ("message", "{{ '1e999'|float }}", "number that is out of range"),
    "a number out of range by int": ("message", "{{ 'nan'|float|int }}", "number that is out of range"),
    "a product out of range": ("message", "{{ 1e300 * 1e300 }}", "makes a number that is out of range"),
    "a sum out of range": ("message", "{{ [1e308, 1e308]|sum }}", "makes a number that is out of range"),
    "a long number printed": ("message", "{% set x = n ~ '' %}x", "integer of more than 4096 bits cannot be printed"),
    "a long number filled in": ("message", "{% set x = '%d'|format(n) %}x", "integer of more than 4096 bits"),
}  # fmt: skip


@pytest.mark.parametrize(("part", "source", "reason"), UNPAID.values(), ids=UNPAID)
def test_what_is_made_on_the_way_is_paid_for(part: str, source: str, reason: str) -> None:
    texts = Texts(**({"title": "T", "message": "M"} | {part: source}))
    with pytest.raises(LimitExceeded, match=reason):
        render(one_locale(texts), VARIABLES | {"n": 10**4_000})


@pytest.mark.parametrize(
    "source", ["('&' * 2000)|replace('a'|safe, 'b' * 2000)", "('a' * 900)|replace('a'|safe, '&' * 900)"]
)
def test_what_is_replaced_in_html_is_counted_before_it_is_made(source: str) -> None:
    render(one_locale(Texts("T", "M", "{{ 'a'|replace('a'|safe, 'b') }}")), {})
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="262144 characters"):
            render(one_locale(Texts("T", "M", f"{{% set x = {source} %}}x")), {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


HEAVY = ["y", "d", "rows", "long * 16", "('a ' * 99000)", "('\n' * 99000)", "('%%' * 99000)", "('f' * 99000)"]
ARGUMENTS = [
    "",
    "('a')",
    "(y)",
    "(long)",
    "(attribute='a', default=long)",
    "('default', y, true)",
    "('in', y)",
    "('title')",
]


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_costs_more_than_it_pays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(meter, "MOST_STEPS", 50_000)
    rows = [{"a": number % 7, "b": "x" * 5} for number in range(500)]
    variables = VARIABLES | {"rows": rows, "d": {str(number): number for number in range(1_500)}}
    for value in HEAVY:
        for arguments in ARGUMENTS:
            source = f"{{% for i in y %}}{{% set b = ({value})|{name}{arguments} %}}{{% endfor %}}x"
            begun = time.thread_time()
            with contextlib.suppress(InvalidValue):
                render(one_locale(Texts("T", source)), variables)
            assert time.thread_time() - begun < _MOST_SECONDS / 4, source


def test_steps_are_those_of_all_locales() -> None:
    loop = "{% for a in y %}{% if a %}{% endif %}{% endfor %}x"
    variables = {"y": [0] * 8_000}
    texts = Texts("T", loop)
    assert render(one_locale(texts), variables).default.message == "x"
    many = {f"en-{number:02}": texts for number in range(20)}
    with pytest.raises(LimitExceeded, match="500000 steps"):
        render(Template(default_locale="en-00", locales=many), variables)


def test_what_is_large_and_honest_is_rendered() -> None:
    rows = [{"name": f"item {n}", "price": n, "count": 2} for n in range(300)]
    source = (
        "<table>{% for row in rows %}<tr class='{{ loop.cycle('a', 'b') }}'><td>{{ loop.index }}</td>"
        "<td>{{ row.name|upper }}</td><td>{{ '%.2f'|format(row.price * row.count) }}</td></tr>{% endfor %}</table>"
        "{{ rows|sum(attribute='price') }} {{ rows|map(attribute='name')|join(', ')|truncate(80) }}"
    )
    made = render(one_locale(Texts("{{ rows|length }} items", "M", source)), {"rows": rows}).default
    assert (made.html or "").count("<tr") == 300
    assert made.title == "300 items"


def test_what_is_kept_compiled_is_bounded() -> None:
    kept = _Kept(10_000)
    parts = {(f"{{{{ a{n} }}}}", False): compiled(f"{{{{ a{n} }}}}", html=False) for n in range(20)}
    for key, part in parts.items():
        kept.put(key, part)
        kept.put(key, part)
        assert kept.get(key) is part
    assert 0 < len(kept._parts) < 20
    assert kept._room >= 0
