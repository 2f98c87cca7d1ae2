"""Templates as a language: what they print, what is refused, and in which locale it is read."""

from __future__ import annotations

import contextlib
import html
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.templates import one_locale, refused, rendered
from notify.errors import InvalidValue, LimitExceeded
from notify.templates import Contents, Template, Texts, check, choose, locale_for, render, variables_of

ORDER = {"number": 42, "items": [{"name": "cup", "price": 4.5}, {"name": "saucer", "price": 2}], "note": None}

PRINTED: list[tuple[str, dict[str, Any], str]] = [
    ("Hello {{ name }}", {"name": "Ada"}, "Hello Ada"),
    ("{{ a }}, {{ b }}, {{ c }}", {"a": 1, "b": 2.5, "c": True}, "1, 2.5, True"),
    ("{{ order.number }} {{ order['number'] }}", {"order": ORDER}, "42 42"),
    # What Jinja would take for a method of dict.
    ("{{ order.items|length }} {{ order.items.0.name }} {{ order.items[-1].name }}", {"order": ORDER}, "2 cup saucer"),
    ("{% for i in order.items %}{{ loop.index }} {{ i.name }}{{ ', ' if not loop.last }}{% endfor %}",
     {"order": ORDER}, "1 cup, 2 saucer"),
    ("{% for i in order.items if i.price > 3 %}{{ loop.length }}{{ i.name }}{% else %}none{% endfor %}",
     {"order": ORDER}, "1cup"),
    ("{% for i in [] %}x{% else %}none{% endfor %}", {}, "none"),
    ("{% for k, v in prices|items %}{{ k }}={{ v }};{% endfor %}", {"prices": {"a": 1, "b": 2}}, "a=1;b=2;"),
    ("{% for k, v in prices|dictsort(by='value', reverse=true) %}{{ k }}{% endfor %}",
     {"prices": {"a": 1, "b": 2}}, "ba"),
    ("{% for c in x %}{{ loop.cycle('odd', 'even') }} {% endfor %}", {"x": [1, 2, 3]}, "odd even odd "),
    ("{% for city, people in x|groupby('city') %}{{ city }}:{{ people|map(attribute='n')|join(',') }} {% endfor %}",
     {"x": [{"city": "b", "n": 1}, {"city": "a", "n": 2}, {"city": "b", "n": 3}]}, "a:2 b:1,3 "),
    ("{{ order.items|sum(attribute='price') }}", {"order": ORDER}, "6.5"),
    ("{{ order.items|map(attribute='name')|map('upper')|join(' & ') }}", {"order": ORDER}, "CUP & SAUCER"),
    ("{{ order.items|selectattr('price', 'gt', 3)|map(attribute='name')|first }}", {"order": ORDER}, "cup"),
    ("{{ x|sort|reverse|list|join }}{{ x|unique|list|length }}{{ x|max }}{{ x|min }}", {"x": [2, 1, 2]}, "221221"),
    ("{{ '%.2f EUR, %s, %5d%%'|format(price, name, 7) }}", {"price": 3, "name": "Ada"}, "3.00 EUR, Ada,     7%"),
    ("{{ '%(b)s %(a)s'|format(a=1, b='x') }}", {}, "x 1"),
    ("{{ (price * 1.19)|round(2) }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -price + 1 }}", {"price": 10}, "11.9 3 3 -9"),
    ("{{ 'a' ~ 1 ~ name }}{{ '-' * 3 }}{{ 'a' + name }}", {"name": "b"}, "a1b---ab"),
    ("{{ name|upper }}{{ name|title }}{{ name|capitalize }}{{ name|trim }}", {"name": " x y "}, " X Y  X Y  x y x y"),
    ("{{ text|truncate(9) }} {{ text|wordcount }} {{ text[:3] }} {{ text[::-1][:2] }}",
     {"text": "one two three four"}, "one... 4 one ru"),
    ("{{ text|replace('o', '0') }}{{ 'x'|center(3) }}|", {"text": "foo"}, "f00 x |"),
    ("{{ 'a\nb'|indent(2) }} {{ 'a b&c'|urlencode }}", {}, "a\n  b a%20b%26c"),
    ("{{ missing|default('nothing') }}{{ null|d('no', true) }}{{ 0|default(1) }}", {"null": None}, "nothingno0"),
    ("{% if a is defined %}x{% endif %}{% if b is not defined %}y{% endif %}{{ 'z' if b is defined }}", {"a": 1}, "xy"),
    ("{% if a in x and 'b' not in x and a == 1 and 1 < 2 <= 2 %}yes{% endif %}", {"a": 1, "x": [1, 2]}, "yes"),
    ("{% if n is even and n is divisibleby 3 and n is number and 7 is odd %}yes{% endif %}", {"n": 6}, "yes"),
    ("{% set total = a + b %}{% set shout %}{{ total }}!{% endset %}{{ shout }}", {"a": 1, "b": 2}, "3!"),
    ("{% with a = 1 %}{{ a }}{% endwith %}{% filter upper %}b{{ c }}{% endfilter %}", {"c": "d"}, "1BD"),
    ("{% filter length %}abc{% endfilter %}{% set x | length %}ab{% endset %}{{ x }}", {}, "32"),
    ("{# a comment #}{% raw %}{{ kept }}{% endraw %}", {}, "{{ kept }}"),
    ("{{ data|tojson }}", {"data": {"a": [1, "<b>"]}}, '{"a": [1, "\\u003cb\\u003e"]}'),
    ("{{ '12'|int + 1 }} {{ 'x'|int }} {{ '1.5'|float }} {{ 2048|filesizeformat }} {{ 3|string ~ '3' }}",
     {}, "13 0 1.5 2.0 kB 33"),
    ("{{ [x]|map(attribute='b')|map('default', '-')|join }}{{ [x]|selectattr('b', 'defined')|list|length }}",
     {"x": {"a": 1}}, "-0"),
    ("{{ 1 < 2 < 3 }}{{ 1 < 2 > 3 }}{{ 'a' in 'abc' }}{{ 'a' == 1 }}{{ 1 != 2 >= 2 }}", {}, "TrueFalseTrueFalseTrue"),
    ("{{ text[1:] }}{{ text[:-1] }}{{ [1, 2, 3][::2]|join }}{{ ('a' if false)|upper }}", {"text": "abc"}, "bcab13"),
    ("{{ {'a': name}['a'] }}{{ [name, 2][0] }}{{ (1, 2)|length }}", {"name": "x"}, "xx2"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "variables", "text"), PRINTED, ids=lambda given: str(given)[:40])
def test_printed(source: str, variables: dict[str, Any], text: str) -> None:
    assert rendered(source, **variables) == text


def test_only_html_is_escaped() -> None:
    source = "{{ name }} {{ name|safe }} {{ '%s'|format(name) }} {{ ['a', name]|join('<') }} {{ name ~ '<' }}"
    texts = Texts(title=source, message=source, html=f"<p>{source}</p>")
    made = render(one_locale(texts), {"name": "<b>&"}).default
    plain = "<b>& <b>& <b>& a<<b>& <b>&<"
    assert (made.title, made.message) == (plain, plain)
    assert made.html == "<p>&lt;b&gt;&amp; <b>& &lt;b&gt;&amp; a&lt;&lt;b&gt;&amp; &lt;b&gt;&amp;&lt;</p>"


def test_set_and_filter_blocks_of_html_are_escaped_once() -> None:
    source = (
        "{% set x %}<i>{{ name }}</i>{% endset %}{{ x }}{% filter upper %}<u>{{ name }}</u>{% endfilter %}"
        "{% filter replace('A', name) %}A{% endfilter %}"
    )
    made = render(one_locale(Texts("T", "M", source)), {"name": "<"}).default
    assert made.html == "<i>&lt;</i><U>&LT;</U>&lt;"


IN_BLOCKS = [
    "{% filter default(x, true) %}{% endfilter %}",
    "{% filter trim|default(x, true) %}{% endfilter %}",
    "{% set y | default('<', true) %}{% endset %}{{ y }}{% set z | trim %}{{ x }}{% endset %}{{ z }}",
    "{% set y %}{{ x }}{% endset %}{{ y }}",
    "{% filter replace('X', x) %}X{% endfilter %}",
    "{% filter format(x) %}%s{% endfilter %}",
    "{% filter indent(x) %}a\n{% endfilter %}",
    "{% with y = x %}{{ y }}{% endwith %}",
    "{% for y in [x] %}{{ loop.cycle(y, y) }}{% endfor %}",
    "{{ ('a'|safe) ~ x }}{{ x ~ ('a'|safe) }}{{ ('a'|safe) + x }}{{ x + ('a'|safe) }}{{ [x, 'a'|safe]|join(x) }}",
    "{{ ('aXb'|safe)|replace('X', x) }}{{ x|replace('<', '<'|safe) }}{{ ('%s'|safe)|format(x) }}",
    "{{ ('a\nb'|safe)|indent(x) }}{{ ('a'|safe)|indent(x, true) }}{{ 'a\n\nb'|indent(x, true, true) }}",
    "{{ x|upper|title|trim|truncate(3)|center(9)|indent }}{{ [x]|first }}{{ [x]|join }}{{ (x|e)[::-1] }}",
]


@pytest.mark.parametrize("source", IN_BLOCKS)
def test_variables_are_escaped_wherever_they_come_from(source: str) -> None:
    made = render(one_locale(Texts("T", "M", f"-{source}")), {"x": "<b>"}).default.html
    assert made is not None
    assert "<" not in made


@given(st.text(min_size=1, max_size=100).filter(lambda text: "\x00" not in text))
def test_no_variable_gets_out_of_its_place_in_html(text: str) -> None:
    template = one_locale(Texts("T", "M", '<a title="{{ x }}">{{ x|upper|lower }}</a>'))
    made = render(template, {"x": text}).default.html
    assert made is not None
    inside = made.removeprefix('<a title="').partition('">')[0]
    assert html.unescape(inside) == text
    assert made.count("<") == 2
    assert made.count('"') == 2


MISSING: list[tuple[str, str, str]] = [
    ("{{ name }}", "variables.name", "`name` is missing"),
    ("{{ user.name }}", "variables.user", "`user` is missing"),
    ("{{ order.total }}", "variables", "no `total` in an object"),
    ("{{ order['a b'] }}", "variables", "no `a b` in an object"),
    ("{{ order.total.cents }}", "variables", "no `total` in an object"),
    ("{{ list[7] }}", "variables", "no `7` in a list"),
    ("{{ list.first }}", "variables", "no `first` in a list"),
    ("{{ text.x }}", "variables", "no `x` in a text"),
    ("{{ list|map(attribute='b')|join }}", "variables", "no `b` in a number"),
    ("{{ name|upper }}", "variables.name", "`name` is missing"),
    ("{{ name + 1 }}", "variables.name", "`name` is missing"),
    ("{{ 'x' ~ name }}", "variables.name", "`name` is missing"),
    ("{% if name %}x{% endif %}", "variables.name", "`name` is missing"),
    ("{% if name == 1 %}x{% endif %}", "variables.name", "`name` is missing"),
    ("{% if 1 in name %}x{% endif %}", "variables.name", "`name` is missing"),
    ("{% for x in name %}x{% endfor %}", "variables.name", "`name` is missing"),
    ("{{ name|length }}{{ name|first }}", "variables.name", "`name` is missing"),
    ("{{ name|sum }}", "variables.name", "`name` is missing"),
    ("{{ '%s'|format(name) }}", "variables.name", "`name` is missing"),
    ("{{ text|replace('x', name) }}", "variables.name", "`name` is missing"),
    ("{{ [name]|join }}", "variables.name", "`name` is missing"),
    ("{{ list|first|default(name) }}{{ name|default(other) }}", "variables.other", "`other` is missing"),
    ("{{ name is even }}", "variables.name", "`name` is missing"),
    ("{{ name[1:] }}", "variables.name", "`name` is missing"),
    ("{{ -name }}", "variables.name", "`name` is missing"),
    ("{{ loop.index }}", "variables.loop", "`loop` is missing"),
    ("{{ []|first }}", "variables", "empty"),
    ("{{ name|tojson }}", "variables.name", "`name` is missing"),
    ("{{ name|abs }}", "variables.name", "`name` is missing"),
    ("{{ list|sort(name)|join }}", "variables.name", "`name` is missing"),
    ("{{ text|center(name) }}", "variables.name", "`name` is missing"),
    ("{{ text[name:] }}", "variables.name", "`name` is missing"),
    ("{% for k, v in name|items %}x{% endfor %}y", "variables.name", "`name` is missing"),
    ("{{ 'x' if name is none else 'y' }}", "variables.name", "`name` is missing"),
    ("{{ 'x' if name is string else 'y' }}", "variables.name", "`name` is missing"),
    ("{{ 'x' if name is mapping else 'y' }}", "variables.name", "`name` is missing"),
    ("{{ 'x' if 1 is sameas name else 'y' }}", "variables.name", "`name` is missing"),
    ("{{ [name]|length }}", "variables.name", "`name` is missing"),
    ("{{ [name]|select('string')|length }}", "variables.name", "`name` is missing"),
    ("{% for x in [name] %}y{% endfor %}", "variables.name", "`name` is missing"),
    ("{% set x = name %}y", "variables.name", "`name` is missing"),
    ("{% with x = name %}y{% endwith %}", "variables.name", "`name` is missing"),
    ("{{ [order]|map(attribute='zz')|length }}", "variables", "no `zz` in an object"),
    ("{{ [order]|groupby('zz')|length }}", "variables", "no `zz` in an object"),
    ("{% for x in list %}{{ loop.previtem }}{% endfor %}", "variables", "no previous item"),
]


@pytest.mark.parametrize(("source", "field", "reason"), MISSING, ids=lambda given: given[:40])
def test_what_is_missing_is_named(source: str, field: str, reason: str) -> None:
    message = refused(source, field, order={}, list=[1, 2], text="text")
    assert reason in message
    assert message.startswith("locales.en.message of template order.shipped: ")


WRONG: list[tuple[str, str]] = [
    ("{{ null }}", "null cannot be printed"),
    ("{{ [1] }}", "a list cannot be printed"),
    ("{{ {'a': 1} }}", "an object cannot be printed"),
    ("{{ list|upper }}", "a list cannot be printed"),
    ("{{ [list]|join }}", "a list cannot be printed"),
    ("{% for x in list %}{{ loop }}{% endfor %}", "`loop` cannot be printed"),
    ("{{ self }}", "cannot be printed"),
    ("{{ self|list }}", "no `self`"),
    ("{{ name|tojson(indent=2) }}", "`tojson` takes no argument named `indent`"),
    ("{{ name|upper(1) }}", "`upper` of a text with a number is not supported"),
    ("{{ name|replace('a') }}", "`replace` of a text with a text is not supported"),
    ("{{ name|dictsort }}", "`dictsort` of a text is not supported; it is for objects"),
    ("{{ name|items|join }}", "`items` of a text is not supported; it is for objects"),
    ("{{ name|truncate(1) }}", "`truncate` of a text with a number is not supported; it takes a length"),
    ("{{ name is lt 3 }}", "`lt` of a text with a number is not supported; what is compared must be all numbers"),
    ("{% for x in list %}{{ loop|tojson }}{% endfor %}", "`tojson` of `loop` is not supported"),
    ("{{ {'a': 1}[1:2] }}", "an object cannot be cut"),
    ("{{ 'abc'[name:] }}", "cut by whole numbers"),
    ("{{ name[::0] }}", "in steps other than 0"),
    ("{{ name < 3 }}", "a text cannot be compared with a number"),
    ("{{ 1 < 2 < name }}", "a number cannot be compared with a text"),
    ("{{ 3 in name }}", "a text cannot be searched for a number"),
    ("{{ name not in 3 }}", "a number cannot be searched for a text"),
    ("{% set a, b = list|first %}x", "a number cannot be unpacked into 2 names"),
    ("{% for a, b, c in [list] %}x{% endfor %}", "a list of 2 cannot be unpacked into 3 names"),
    ("{% for a, (b, c) in [list] %}x{% endfor %}", "values that do not fit"),
    ("{{ ('x' if false) + 1 }}", "nothing + a number is not possible"),
    ("{{ 1 + 'a' }}", "a number + a text is not possible"),
    ("{{ 'a' - 1 }}", "a text - a number is not possible"),
    ("{{ list + list }}", "a list + a list is not possible"),
    ("{{ '%s' % 1 }}", "a text % a number is not possible"),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{{ 'x'|round }}", "a text is used as a number"),
    ("{{ list|sum(start='') }}", "a text is used as a number"),
    ("{{ ['a', 1]|sort }}", "not supported"),
    ("{% for x in 7 %}x{% endfor %}", "a number cannot be looped over"),
    ("{% for x in null %}x{% endfor %}", "null cannot be looped over"),
    ("{% for a, b in list %}x{% endfor %}", "unpack"),
    ("{{ '%d'|format('x') }}", "%d"),
    ("{{ '%s %s'|format(1) }}", "fewer values"),
    ("{{ '%s'|format(1, 2) }}", "more values"),
    ("{{ '%(a)s'|format(b=1) }}", "a value for a"),
    ("{{ '%*d'|format(3, 1) }}", "`format` knows"),
    ("{{ '%y'|format(1) }}", "`format` knows"),
    ("{{ list|map(name)|join }}", "no filter named 'attr'"),
    ("{{ list|select(name)|join }}", "attr"),
    ("{{ list|join(nosuch='x') }}", "nosuch"),
    ("{{ loop.cycle(1) }}", "inside of a loop only"),
    ("{% if false %}x{% endif %}", "is empty"),
    ("{{ '\\0' }}", "NUL"),
    ("{{ '\\ud800' }}", "surrogates"),
]


@pytest.mark.parametrize(("source", "reason"), WRONG, ids=lambda given: given[:40])
def test_what_cannot_be_rendered_is_told_with_its_place(source: str, reason: str) -> None:
    message = refused(source, "locales.en.message", null=None, list=[1, 2], name="attr", loop={"cycle": "x"})
    assert reason in message


BAD: list[tuple[str, str]] = [
    ("{{ name", "line 1"),
    ("{% if x %}", "endif"),
    ("a\nb\n{{ 1 + }}", "line 3"),
    ("{% nosuch %}", "nosuch"),
    ("{{ 'x }}", "line 1"),
    ("{# x", "comment"),
    ("{{ x|nosuch }}", "no filter named `nosuch`"),
    ("{% if false %}{{ x|nosuch }}{% endif %}", "no filter named `nosuch`"),
    ("{{ x is nosuch }}", "no test named `nosuch`"),
    ("{{ x|map('nosuch') }}", "no filter named `nosuch`"),
    ("{{ x|select('nosuch') }}", "no test named `nosuch`"),
    ("{{ x|selectattr('a', 'nosuch') }}", "no test named `nosuch`"),
    ("{{ x|rejectattr('a', 'callable') }}", "no test named `callable`"),
    ("{{ 1e999 }}", "out of range"),
    ("{{ {[1]: 2} }}", "constants"),
    ("{{ 9" + "9" * 5_000 + " }}", "a number of too many digits"),
    ("{% for a in x %}" * 25 + "{% endfor %}" * 25, "is nested too deeply"),
    ("{{ x|default(a=1, a=2) }}", "the argument `a` is given twice"),
    ("{{ x[1:2, 3] }}", "cut once only"),
    ("{% for a in x %}{{ loop.cycle() }}{% endfor %}", "`loop.cycle` takes what it goes through"),
    ("{{ '\ud800' }}", "lone surrogates"),
]


@pytest.mark.parametrize(("source", "reason"), BAD, ids=lambda given: given[:40])
def test_bad_templates_are_refused_before_there_are_variables(source: str, reason: str) -> None:
    for part in ("title", "message", "html"):
        texts = Texts(**({"title": "T", "message": "M"} | {part: source}))
        with pytest.raises(InvalidValue) as caught:
            check(one_locale(texts))
        assert caught.value.field == f"locales.en.{part}"
        assert reason in str(caught.value)


def test_every_locale_is_rendered_and_named() -> None:
    good = Texts("{{ a }}", "{{ b }}")
    template = Template(name="t", default_locale="en", locales={"en": good, "de": Texts("{{ a }}", "M", "{{ c.d }}")})
    with pytest.raises(InvalidValue, match=r"locales\.de\.html of template t: the variable `c` is missing") as caught:
        render(template, {"a": "1", "b": "2"})
    assert caught.value.field == "variables.c"
    made = render(template, {"a": "1", "b": "2", "c": {"d": "<"}, "more": 1})
    assert made == Contents("en", {"en": Texts("1", "2"), "de": Texts("1", "M", "&lt;")})
    assert made.default == Texts("1", "2")


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\x85", "\x0b", "\x1e"])
def test_a_title_is_a_single_line(line_break: str) -> None:
    template = one_locale(Texts("Hi {{ name }}", "{{ name }}"))
    for name in (f"Ada{line_break}", f"A{line_break}da"):
        with pytest.raises(InvalidValue, match="single line") as caught:
            render(template, {"name": name})
        assert caught.value.field == "locales.en.title"


LENGTHS: list[tuple[str, str, int, str]] = [
    ("title", "é", 200, "200 characters"),
    ("message", "é", 8_192, "16384 bytes"),
    ("message", "x", 16_384, "16384 bytes"),
    ("html", "é", 32_768, "65536 bytes"),
    ("html", "x", 65_536, "65536 bytes"),
]


@pytest.mark.parametrize(("part", "character", "most", "reason"), LENGTHS)
def test_lengths_of_what_is_rendered(part: str, character: str, most: int, reason: str) -> None:
    source = "{{ x }}{% for i in y %}{{ x }}{% endfor %}"
    template = one_locale(Texts(**({"title": "T", "message": "M"} | {part: source})))
    half = {"x": character * (most // 2)}
    assert len(getattr(render(template, half | {"y": [1]}).default, part)) == most
    for more in ({"y": [1, 2]}, {"y": [1], "x": character * (most // 2 + 1)}):
        with pytest.raises(LimitExceeded, match=reason) as caught:
            render(template, half | more)
        assert caught.value.field == f"locales.en.{part}"


def test_all_locales_together_are_bounded() -> None:
    tags = [f"en-{number:02}" for number in range(20)]
    template = Template(default_locale=tags[0], locales=dict.fromkeys(tags, Texts("T", "M", "{{ x }}")))
    assert len(render(template, {"x": "x" * 52_000}).locales) == 20
    with pytest.raises(LimitExceeded, match="1048576 bytes"):
        render(template, {"x": "x" * 53_000})


GOOD = Texts("T", "M")


def message(source: str, locales: int = 1) -> Template:
    """A template with this message in so many locales, en-00, en-01, …"""
    return Template(default_locale="en-00", locales={f"en-{n:02}": Texts("T", source) for n in range(locales)})


LEAKS = ["_tojson", "do_", "positional", "NoneType", "instances", "_Unknown", "Reference", "object of type", "unpack ("]


@pytest.mark.parametrize("source", [source for source, _ in WRONG])
def test_nobody_is_told_of_what_is_inside(source: str) -> None:
    variables = {"null": None, "list": [1, 2], "name": "attr", "loop": {"cycle": "x"}}
    message = refused(source, "locales.en.message", **variables)
    assert not [word for word in LEAKS if word in message]


LONG = "n" * 5_000
LONG_NAMES = [
    f"{{{{ x|{LONG} }}}}",
    f"{{{{ x is {LONG} }}}}",
    f"{{% {LONG} %}}",
    f"{{{{ 1 {LONG} }}}}",
    f"{{{{ {LONG} }}}}",
    f"{{{{ x.{LONG} }}}}",
    f"{{{{ x|map('{LONG}') }}}}",
    f"{{{{ x|map(x ~ '{LONG}') }}}}",
    f"{{{{ x|upper({LONG}=1) }}}}",
    f"{{{{ x|upper({LONG}=1, {LONG}=1) }}}}",
    f"{{{{ '%({LONG})s'|format(1) }}}}",
]


@pytest.mark.parametrize("source", LONG_NAMES, ids=lambda given: given[:20])
def test_what_is_long_is_not_told_back(source: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        render(one_locale(Texts("T", source)), {"x": "x"})
    assert "n" * 50 in str(caught.value)
    assert len(str(caught.value)) < 200
    assert len(caught.value.field or "") < 100


def test_json_cannot_get_out_of_an_attribute() -> None:
    texts = Texts("T", "{{ v|tojson }}", '<a title="{{ v|tojson }}"><script>{{ v|tojson|safe }}</script>')
    made = render(one_locale(texts), {"v": 'x onclick=alert(1) "<'}).default
    assert made.message == '"x onclick=alert(1) \\"\\u003c"'
    quoted = "&#34;x onclick=alert(1) \\&#34;\\u003c&#34;"
    assert made.html == f'<a title="{quoted}"><script>{made.message}</script>'


def test_names_that_are_assigned_are_bounded() -> None:
    source = "".join(f"{{% set a{number} = 1 %}}" for number in range(100))
    assert rendered(f"{source}{{% set a1 = 2 %}}{{{{ a1 }}}}") == "2"
    with pytest.raises(LimitExceeded, match="assigns values to more than 100 names"):
        check(one_locale(Texts("T", f"{source}{{% for b in [] %}}{{% endfor %}}x")))


SHAPES: list[tuple[Template, str, str]] = [
    (one_locale(GOOD, name="Bad"), "name", "letter"),
    (one_locale(GOOD, name="a" * 65), "name", "64"),
    (one_locale(GOOD, name="a\n"), "name", "64"),
    (Template(default_locale="en", locales={}), "locales", "empty"),
    (Template(default_locale="de", locales={"en": GOOD}), "default_locale", "one of locales"),
    (Template(default_locale="EN", locales={"en": GOOD}), "default_locale", "one of locales"),
    (Template(default_locale="en", locales={"en": GOOD, "x": GOOD}), "locales", "language tags"),
    (Template(default_locale="en", locales={"en": GOOD, "de\n": GOOD}), "locales", "language tags"),
    (Template(default_locale="de-AT", locales={"de-AT": GOOD, "de_at": GOOD}), "locales", "same"),
    (message("M", 21), "locales", "20"),
    (one_locale(Texts("", "M")), "locales.en.title", "empty"),
    (one_locale(Texts("T", "M", "")), "locales.en.html", "empty"),
    (message("é" * 32_769), "locales.en-00.message", "65536 bytes"),
    (message("x" * 60_000, 18), "locales", "1048576"),
    (message("{{ a }}" * 6_000), "locales.en-00.message", "5000"),
    (message("{{ a }}" * 2_500, 9), "locales.en-07.message", "20000"),
    (message("{% if 1 %}" * 70 + "x" + "{% endif %}" * 70), "locales.en-00.message", "64 levels"),
    (message("{{ a" + "|e" * 70 + " }}"), "locales.en-00.message", "64 levels"),
    (message("{{ " + "(" * 9_000 + " }}"), "locales.en-00.message", "deep"),
]


@pytest.mark.parametrize(("template", "field", "reason"), SHAPES, ids=range(len(SHAPES)))
def test_what_is_no_template(template: Template, field: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as caught:
        check(template)
    assert caught.value.field == field


def test_names() -> None:
    for name in ("a", "order.shipped", "a-b_c.9", "a" * 64):
        check(one_locale(GOOD, name=name))


def test_variables_of_all_parts() -> None:
    texts = Texts("{{ a }}", "{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}", "{% set d = c %}{{ d }}")
    more = Texts("{{ e|default('') }}", "{% if false %}{{ f.g }}{% endif %}")
    template = Template(default_locale="en", locales={"en": texts, "de": more})
    assert variables_of(template) == {"a", "b", "c", "e", "f"}


CHOICES: list[tuple[str | None, str]] = [
    ("en", "en"),
    ("EN", "en"),
    ("de-AT", "de-AT"),
    ("de_at", "de-AT"),
    ("de-CH", "de"),
    ("de-AT-1996", "de-AT"),
    ("de_AT_x_y", "de-AT"),
    ("zh", "en"),
    ("zh-TW", "zh-tw"),
    ("zh_Hant_TW", "en"),
    ("d", "en"),
    ("-", "en"),
    ("", "en"),
    (None, "en"),
]


@pytest.mark.parametrize(("locale", "chosen"), CHOICES)
def test_the_nearest_locale_is_chosen(locale: str | None, chosen: str) -> None:
    contents = Contents("en", {tag: Texts(tag, "M") for tag in ("en", "de", "de-AT", "zh-tw")})
    assert locale_for(contents, locale) == chosen
    assert choose(contents, locale).title == chosen


@given(st.lists(st.from_regex(r"[a-z]{2}(-[A-Z]{2})?", fullmatch=True), min_size=1, unique_by=str.lower), st.data())
def test_an_exact_locale_is_always_chosen(tags: list[str], data: st.DataObject) -> None:
    contents = Contents(tags[0], {tag: Texts(tag, "M") for tag in tags})
    tag = data.draw(st.sampled_from(tags))
    assert choose(contents, tag.swapcase().replace("-", "_")).title == tag
    assert choose(contents, f"{tag}-x-other").title == tag


def test_many_threads_render_the_same_template_at_once() -> None:
    template = one_locale(Texts("{{ x }}", "{% for i in y %}{{ x }}{% endfor %}"))

    def made(number: int) -> bool:
        text = str(number)
        return render(template, {"x": text, "y": [1] * 50}).default == Texts(text, text * 50)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(made, range(200)))


FRAGMENTS = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "{{ x }}", "{{ y[", "]", "(", ")", "'", '"', "|", ".", ",", "~", "\n"),
    *(
        "if ",
        "endif",
        "else",
        "elif ",
        "for a in ",
        "endfor",
        "set a = ",
        "endset",
        "with ",
        "filter ",
        "raw",
        "endraw",
    ),
    *("x", "y", "loop", "self", "a", "1", "2.5", "-", "+", "*", "/", "%", "==", "<", " in ", " not ", " is ", " and "),
    *("join", "map", "upper", "default", "sort", "format", "items", "tojson", "int", "first", "odd", "defined", "none"),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_whatever_stands_in_a_template_it_is_rendered_or_refused(source: str) -> None:
    template = one_locale(Texts("T", f"M{source}", f"M{source}"))
    with contextlib.suppress(InvalidValue):
        made = render(template, {"x": "x", "y": [1, {"x": None}]}).default
        assert made.message.startswith("M")
