"""Attacks by chat template. Templates are parsed and never rendered, here as in the scanner.

The one exception is `test_template_fuzz.py`, which renders only what the scanner calls clean.
"""

from __future__ import annotations

import json

import pytest

from tuneguard.findings import Verdict


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


PLAIN = """{%- macro show(tool) -%}{{ tool | tojson(indent=2) }}{%- endmacro -%}
{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}{% endif %}
{%- set ns = namespace(found=false, index=messages|length - 1) %}
{%- for message in messages[::-1] -%}
{%- if not loop.first and message.role not in ['user'] %}{{ raise_exception('bad role') }}{% endif -%}
{%- if message.content is string and '</think>' in message.content -%}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- for key, value in (message.tools or {}).items() %}{{ show(value) }}{% endfor -%}
{%- generation %}{{ '<|im_start|>' + message.role ~ '\\n' }}{% endgeneration -%}
{%- if loop.index > 3 %}{% break %}{% endif -%}
{%- endfor -%}
{{ strftime_now('%d %b %Y') }}
{{ tools | selectattr('name', 'equalto', 'x') | map(attribute='name') | join(', ') }}"""


def test_a_plain_template_passes_beside_and_inside_the_tokenizer(scan) -> None:
    result = scan(
        {
            "chat_template.jinja": PLAIN.encode(),
            "additional_chat_templates/tool_use.jinja": PLAIN.encode(),
            "tokenizer_config.json": json.dumps({"chat_template": PLAIN}).encode(),
            "chat_template.json": json.dumps({"chat_template": {"default": PLAIN}}).encode(),
            "processor_config.json": json.dumps(
                {"chat_template": [{"name": "a", "template": PLAIN}]}
            ).encode(),
        }
    )

    assert result.verdict is Verdict.PASSED, result
    assert result.understood == 5


REACHES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__'] }}",
    "{{ messages['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass') }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum }}",
    "{{ self._TemplateReference__context }}",
    "{% include 'etc/passwd' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0}'.format(x) }}",
    "{{ '%s'|format(x) }}",
    "{{ messages|map('attr', '__class__')|list }}",
    "{{ dict(__class__=1)|list|first }}",
    "{{ messages|map(attribute='__class__') }}",
    "{{ messages|map(attribute='role._x') }}",
    "{{ messages|sort(attribute='role,_x') }}",
    "{{ messages|sort(false, false, '_x') }}",
    "{{ messages|groupby('_x') }}",
    "{{ messages|sum('_x') }}",
    "{{ messages|min(attribute='_x') }}",
    "{{ messages|unique(attribute='_x') }}",
    "{{ messages|join('', '_x') }}",
    "{{ messages|selectattr('_x') }}",
    "{{ messages|rejectattr('a._x', 'equalto', 1) }}",
    "{{ messages|map('format', 1) }}",
    "{{ (messages|map('trim')).gi_frame.f_back }}",
    "{{ messages['gi_code'] }}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ url_for.x }}{{ get_flashed_messages() }}",
    "{% set f = ''.format %}{{ '{0.x}'.format_map(messages[0]) }}",
]


@pytest.mark.parametrize("source", REACHES)
def test_attack_a_template_that_reaches_behind_its_data(scan, source: str) -> None:
    assert "TG-TEMPLATE" in rules_of(scan("chat_template.jinja", source.encode()))


@pytest.mark.parametrize("source", REACHES[:3])
@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("tokenizer_config.json", {"chat_template": ...}),
        ("tokenizer_config.json", {"chat_templates": ...}),
        ("processor_config.json", {"chat_template": {"default": ...}}),
        ("chat_template.json", {"chat_template": [{"name": "default", "template": ...}]}),
        ("config.json", {"text_config": {"chat_template": ...}}),
    ],
)
def test_attack_the_same_inside_a_configuration(scan, source: str, name: str, document: dict) -> None:
    text = json.dumps(document, default=lambda _: source)
    [*findings] = scan(name, text.encode()).findings

    assert {finding.rule for finding in findings} == {"TG-TEMPLATE"}
    assert findings[0].location.member.startswith("chat_template")


# The name of an inner attribute, put together so that no rule of spelling sees it.
HIDDEN = "'_-_class_-_'|replace('-','')"

COMPUTED_NAMES = [
    f"{{{{ ''[{HIDDEN}] }}}}",
    f"{{% set k = {HIDDEN} %}}{{{{ ''[k] }}}}",
    f"{{% set k %}}{{{{ {HIDDEN} }}}}{{% endset %}}{{{{ ''[k] }}}}",
    f"{{% set t = {{}} %}}{{{{ t[{HIDDEN}] }}}}",
    f"{{% set t = {{}} %}}{{% set k = {HIDDEN} %}}{{{{ t[k] }}}}",
    f"{{% set ns = namespace(k={HIDDEN}) %}}{{{{ ''[ns.k] }}}}",
    f"{{% set ns = namespace(k=0) %}}{{% set n = ns %}}{{% set n.k = {HIDDEN} %}}{{{{ ''[ns.k] }}}}",
    f"{{% macro m(k) %}}{{{{ ''[k] }}}}{{% endmacro %}}{{{{ m({HIDDEN}) }}}}",
    f"{{% macro m(k=0) %}}{{{{ ''[k] }}}}{{% endmacro %}}{{{{ m(k={HIDDEN}) }}}}",
    "{% macro m(k=0) %}{{ ''[k] }}{% endmacro %}{{ m(*messages) }}",
    (
        f"{{% macro m() %}}{{{{ caller({HIDDEN}) }}}}{{% endmacro %}}"
        "{% call(k) m() %}{{ ''[k] }}{% endcall %}"
    ),
    f"{{% with k = {HIDDEN} %}}{{{{ ''[k] }}}}{{% endwith %}}",
    f"{{% for k in [{HIDDEN}] %}}{{{{ ''[k] }}}}{{% endfor %}}",
    f"{{% set l = [{HIDDEN}] %}}{{% for k in l %}}{{{{ l[k] }}}}{{% endfor %}}",
    f"{{% for k, v in [({HIDDEN}, 1)] %}}{{{{ ''[k] }}}}{{% endfor %}}",
    f"{{% for k in 'a' if k %}}{{{{ ''[0 if k else {HIDDEN}] }}}}{{% endfor %}}",
    f"{{{{ ''['x'|int({HIDDEN})] }}}}",
    f"{{% set i = 1 %}}{{% set i = {HIDDEN} %}}{{{{ ''[i] }}}}",
    "{{ ''[i] }}{% set i = 1 %}",
    "{% for m in [] %}{% set i = 1 %}{% endfor %}{{ ''[i] }}",
    "{% if x %}{% set i = 1 %}{% endif %}{{ ''[i] }}",
    "{% for m in messages %}{{ ''[m] }}{% endfor %}{% set messages = x %}",
    "{{ ''[messages[0].content] }}",
    "{{ ''[messages[0]] }}",
    f"{{% set _ = messages.append({HIDDEN}) %}}{{% for m in messages %}}{{{{ ''[m] }}}}{{% endfor %}}",
    f"{{% set _ = messages[0].update({{'k': {HIDDEN}}}) %}}{{% set t = {{}} %}}{{{{ t[messages[0].k] }}}}",
    (
        f"{{% set d = {{{HIDDEN}: 1}} %}}{{% for k, v in d.items() %}}{{% set _ = d.pop(k) %}}{{{{ d[k] }}}}"
        "{% endfor %}"
    ),
    (
        f"{{% set d = {{'a': {{{HIDDEN}: 1}}}} %}}{{% for k in d.a %}}{{% set _ = d.update({{'a': ''}}) %}}"
        "{{ d.a[k] }}{% endfor %}"
    ),
    (
        f"{{% set d = {{{HIDDEN}: 1}} %}}{{% for k, v in d.items() %}}{{% set d = '' %}}{{{{ d[k] }}}}"
        "{% endfor %}"
    ),
    (
        f"{{% set d = {{{HIDDEN}: 1}} %}}{{% for k, v in d.items() %}}{{% for d in [''] %}}{{{{ d[k] }}}}"
        "{% endfor %}{% endfor %}"
    ),
    (
        f"{{% set d = {{'a': 1}} %}}{{% for k, v in d.items() %}}{{% set k = {HIDDEN} %}}{{{{ d[k] }}}}"
        "{% endfor %}"
    ),
    f"{{% set s = 'x' ~ {HIDDEN} %}}{{% set k = {HIDDEN} %}}{{{{ s[k] if k in s }}}}",
    f"{{% for i in range(3) recursive %}}{{{{ ''[i] }}}}{{{{ loop([{HIDDEN}]) }}}}{{% endfor %}}",
    f"{{% for m in messages recursive %}}{{{{ ''[m] }}}}{{{{ loop([{HIDDEN}]) }}}}{{% endfor %}}",
    (
        f"{{% set d = {{'a': 1}} %}}{{% for k, v in d.items() recursive %}}{{{{ d[k] }}}}"
        f"{{{{ loop([({HIDDEN}, 1)]) }}}}{{% endfor %}}"
    ),
    "{{ messages|map(attribute=messages[0].content) }}",
    "{{ messages|map(attribute='a' ~ 'b') }}",
    "{{ messages|sort(attribute=x) }}",
    "{{ messages|groupby(x) }}",
    "{{ messages|selectattr(x) }}",
    "{{ messages|map(x, 'y') }}",
    "{{ messages|select(x) }}",
    "{{ messages|map('map', 'trim') }}",
    "{{ messages|map('sort', attribute='a') }}",
    "{{ messages|map(*x) }}",
    "{{ messages|map(**x) }}",
]


@pytest.mark.parametrize("source", COMPUTED_NAMES)
def test_attack_a_name_that_the_template_computes(scan, source: str) -> None:
    assert scan("chat_template.jinja", source.encode()).verdict is not Verdict.PASSED


OTHER_MEANINGS = [
    "{% set range = messages[0].x %}{{ range(3) }}",
    "{% for range in messages %}{{ range(3) }}{% endfor %}",
    "{% for caller, x in messages %}{{ caller(3) }}{% endfor %}",
    "{% macro m(dict) %}{{ dict() }}{% endmacro %}{{ m(messages[0].x) }}",
    "{% macro range(x) %}{% endmacro %}{{ range(3) }}",
    "{% macro m() %}{% endmacro %}{% set m = messages[0].x %}{{ m() }}",
    "{% macro m(m) %}{{ m() }}{% endmacro %}{{ m(messages[0].x) }}",
    "{% macro m() %}{% endmacro %}{% for m in messages %}{{ m() }}{% endfor %}",
    "{% with joiner = messages[0].x %}{{ joiner() }}{% endwith %}",
    "{% set loop = messages[0].x %}{{ loop() }}",
    "{{ loop(1) }}",
    "{{ caller() }}",
    "{% if x %}{% macro run(c) %}{% endmacro %}{% endif %}{{ run('id') }}",
    "{% for x in [] %}{% macro run(c) %}{% endmacro %}{% endfor %}{{ run('id') }}",
    "{% for x in y %}{% macro run(c) %}{% endmacro %}{% endfor %}{% for x in y %}{{ run(1) }}{% endfor %}",
    "{{ run('id') }}{% macro run(c) %}{% endmacro %}",
    "{% set \uff52ange = messages[0].x %}{{ range(3) }}",  # one name to Python
    "{{ dict(\uff3f\uff3fclass\uff3f\uff3f=1)|list|first }}",
    "{% set r = range %}",
    "{{ range.x }}",
    "{{ raise_exception.x }}",
    "{{ [cycler][0] }}",
    "{{ loop.x }}",
    "{% set ns = namespace(split=x.f) %}{{ ns.split('id') }}",
    "{% set ns = namespace(a=1) %}{% set ns.split = x.f %}{% set n = [ns] %}{{ n[0].split('id') }}",
    "{% set ns = namespace(a=1) %}{{ ns.get('a') }}",
    "{% set d = {'split': x.f} %}{{ d.split('id') }}",
    "{% set d = {'split': '{0.x}'.format} %}{{ d.split(messages) }}",
    "{% set k = 'split' %}{% set d = {k: x.f} %}{{ d.split('id') }}",
    "{% set d = dict(split=x.f) %}{{ d.split('id') }}",
    "{% set d = dict([('split', x.f)]) %}{{ d.split('id') }}",
    "{% set d = {} %}{% set _ = d.update(split=x.f) %}{{ d.split('id') }}",
    "{% set d = {} %}{% set _ = d.update([('split', x.f)]) %}{{ d.split('id') }}",
    "{% set ns = namespace(**x) %}",
    "{{ messages[0].get(*x) }}",
    "{{ cycler(1).next() }}",
    "{{ super() }}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% autoescape false %}{% endautoescape %}",
]


@pytest.mark.parametrize("source", OTHER_MEANINGS)
def test_attack_a_name_that_may_be_called_is_given_another_meaning(scan, source: str) -> None:
    assert scan("chat_template.jinja", source.encode()).verdict is not Verdict.PASSED


COSTLY = [
    "{% for i in range(1000000000) %}{% endfor %}",
    "{% for i in range(10000 * 10000) %}{% endfor %}",
    "{% set n = 50000 %}{% set m = n * n %}{{ range(m) }}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
    "{% set l = range(1000) %}{% for i in l %}{% for j in l|list %}{% endfor %}{% endfor %}",
    "{{ range('9' * 9) }}",
    "{{ range('999999999'|int) }}",
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ ' ' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 2 ** 2 ** 2 ** 2 ** 2 ** 2 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ messages[0].content.center(1000000000) }}",
    "{{ messages[0].content|center(1000000000) }}",
    "{{ strftime_now('%999999999d') }}",
    "{% set ns = namespace(s='a') %}{% for m in messages %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set n = 2 %}{% for m in messages %}{% set n = n + n %}{% endfor %}",
]


@pytest.mark.parametrize("source", COSTLY)
def test_attack_a_template_that_costs_more_than_its_text(scan, source: str) -> None:
    assert scan("chat_template.jinja", source.encode()).verdict is not Verdict.PASSED


@pytest.mark.parametrize(
    "source",
    [
        "{{ unheard_of(messages) }}",
        "{{ messages | unheard_of }}",
        "{{ messages is unheard_of }}",
        "{{ x.unheard_of() }}",
        "{{ messages[0]() }}",
        "{{ x['_' ~ '_class_' ~ '_'] }}",
        "{{ '_' * 2 }}",
        "{{ '%c' % 95 }}",
        "{{ unclosed",
        "{% unheard_of %}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ x" + "[0]" * 5000 + " }}",
        "{{ 1" + " + 1" * 5000 + " }}",
        "{% if x %}" * 300 + "{% endif %}" * 300,
    ],
)
def test_a_template_beyond_what_is_known_is_not_understood(scan, source: str) -> None:
    assert scan("chat_template.jinja", source.encode()).verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% macro m(a) %}{{ m(a) }}{% endmacro %}" * 1000, "defines a macro over 10 times"),
        ("{% for a in b %}" * 90 + "{{ d[k] }}" * 4000 + "{% endfor %}" * 90, "nested too deep"),
        ("{% if " + " and ".join(["a in b"] * 250) + " %}{{ b[a ~ a] }}{% endif %}", "looks up a name"),
    ],
    ids=["macros of one name", "loops in loops", "conditions"],
)
def test_attack_a_template_that_costs_the_scanner_more_than_its_text(scan, source: str, reason: str) -> None:
    assert reason in scan("chat_template.jinja", source.encode()).skipped[0].reason


def test_attack_a_number_of_5000_digits_hides_no_other_file(scan) -> None:
    document = json.dumps({"chat_template": "{{ " + "9" * 5000 + " }}", "auto_map": {"AutoModel": "m.X"}})
    result = scan({"tokenizer_config.json": document.encode(), "evil.py": b"import os\n"})

    assert rules_of(result) >= {"TG-CODE", "TG-CFG-AUTO-MAP"}
    assert "its template does not parse" in result.skipped[0].reason


def test_a_template_that_is_no_text_is_not_understood(scan) -> None:
    document = json.dumps({"chat_template": {"default": ["x"]}}).encode()

    assert scan("tokenizer_config.json", document).verdict is Verdict.NOT_UNDERSTOOD


def test_a_huge_template_is_not_parsed(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.TEMPLATE_CHARACTERS", 10)

    assert scan("chat_template.jinja", b"a" * 30).verdict is Verdict.NOT_UNDERSTOOD


def test_a_template_of_too_many_parts_is_not_followed(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.TEMPLATE_NODES", 10)

    assert "over 10 parts" in scan("chat_template.jinja", b"{{ a }}" * 20).skipped[0].reason
