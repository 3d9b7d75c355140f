"""Attacks by chat template. Templates are parsed and never rendered, here as in the scanner."""

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
            "tokenizer_config.json": json.dumps({"chat_template": PLAIN}).encode(),
            "processor_config.json": json.dumps(
                {"chat_template": [{"name": "a", "template": PLAIN}]}
            ).encode(),
        }
    )

    assert result.verdict is Verdict.PASSED, result
    assert result.understood == 3


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
]


@pytest.mark.parametrize("source", REACHES)
def test_a_template_that_reaches_behind_its_data_is_refused(scan, source: str) -> None:
    assert "TG-TEMPLATE" in rules_of(scan("chat_template.jinja", source.encode()))


@pytest.mark.parametrize("source", REACHES[:3])
def test_the_same_in_a_tokenizer_is_refused_with_its_place(scan, source: str) -> None:
    [*findings] = scan("tokenizer_config.json", json.dumps({"chat_template": source}).encode()).findings

    assert {finding.rule for finding in findings} == {"TG-TEMPLATE"}
    assert findings[0].location.member == "chat_template"


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
    ],
)
def test_a_template_beyond_what_is_known_is_not_understood(scan, source: str) -> None:
    assert scan("chat_template.jinja", source.encode()).verdict is Verdict.NOT_UNDERSTOOD


def test_a_template_that_is_no_text_is_not_understood(scan) -> None:
    document = json.dumps({"chat_template": {"default": ["x"]}}).encode()

    assert scan("tokenizer_config.json", document).verdict is Verdict.NOT_UNDERSTOOD


def test_a_huge_template_is_not_parsed(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.TEMPLATE_CHARACTERS", 10)

    assert scan("chat_template.jinja", b"a" * 30).verdict is Verdict.NOT_UNDERSTOOD
