"""Templates with the constructs of published models pass. They are our own, after what each family uses."""

from __future__ import annotations

import pytest

from tuneguard.findings import Verdict

CONSTRUCTS = {
    # ChatML, Zephyr, Vicuna, Yi, InternLM, Falcon, OLMo, StarCoder
    "turns of one line": """{% for message in messages %}{% if message['role'] == 'user' %}
{{ '<|im_start|>user\\n' + message['content'] + '<|im_end|>\\n' }}
{% elif message['role'] == 'assistant' %}{{ message['content'] ~ eos_token }}{% endif %}
{% if loop.last and add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}{% endfor %}""",
    # Llama 2, Mistral, Gemma, Phi-3: turns that must alternate, a system message that moves
    "alternating turns": """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}
{% set offset = 1 %}{% set system = messages[0]['content'].strip() %}
{% else %}{% set rest = messages %}{% set offset = 0 %}{% set system = false %}{% endif %}
{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == offset) %}
{{ raise_exception('Roles must alternate: ' + message['role']) }}{% endif %}
{% if loop.index0 == 0 and system is not false %}{{ bos_token + '[INST] <<SYS>>' + system }}{% endif %}
{{ (message.content if message.content is string else message.content[0].text) | trim }}{% endfor %}""",
    # Llama 3.1 and 3.2 with tools
    "built-in tools and dates": """{%- if not date_string is defined %}
{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{{- "Today: " + date_string + "\\n" }}
{%- if builtin_tools is defined %}
{{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") }}{%- endif %}
{%- for t in tools %}{{- t | tojson(indent=4) }}{%- endfor %}
{%- for message in messages %}
{%- if message.tool_calls|length != 1 %}{{- raise_exception("one call at once") }}{%- endif %}
{%- set call = message.tool_calls[0].function %}
{%- for arg_name, arg_val in call.arguments | items %}
{{- arg_name + '="' + arg_val + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}
{%- if message.content is mapping or message.content is iterable %}
{{- message.content | tojson }}{%- endif %}{%- endfor %}""",
    # Mistral Nemo and Small: the last user message, ids of nine letters, keys of one tool
    "the last user message": """{%- set loop_messages = messages %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}{%- set ns.index = 0 %}
{%- for message in loop_messages %}
{%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
{%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("alternate") }}{%- endif %}
{%- set ns.index = ns.index + 1 %}{%- endif %}{%- endfor %}
{%- for message in loop_messages %}
{%- if tools is not none and (message == user_messages[-1]) %}
{%- for tool in tools %}{%- set tool = tool.function %}
{%- for key, val in tool.items() if key != "return" %}
{%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}{%- endfor %}{%- endfor %}{%- endif %}
{%- if message.tool_call_id is defined and message.tool_call_id|length != 9 %}
{{- raise_exception("ids have nine letters") }}{%- endif %}{%- endfor %}""",
    # Qwen 2.5, Qwen 3, QwQ, SmolLM3: thinking, tools, runs of tool results
    "thinking and runs of tools": """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}
{%- if ns.multi and message.role == "user" and message.content is string
   and not(message.content.startswith('<tool_response>')) %}
{%- set ns.multi = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}
{%- for message in messages %}{%- set content = message.content if message.content is string else '' %}
{%- set reasoning = '' %}
{%- if message.reasoning_content is string %}{%- set reasoning = message.reasoning_content %}
{%- elif '</think>' in content %}
{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{%- if loop.index0 > ns.last and (loop.last or (not loop.last and reasoning)) %}
{{- '<think>' + reasoning.strip('\\n') + '</think>' + content }}{%- endif %}
{%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
{%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>' }}{%- endif %}
{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}
{%- set tool_call = tool_call.function %}{%- endif %}{{- tool_call.name }}
{%- if tool_call.arguments is string %}{{- tool_call.arguments }}
{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}{%- endfor %}{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think></think>' }}{%- endif %}""",
    # Qwen3-Coder, Nemotron: what else a schema holds, as elements
    "further keys of a schema": """{% macro further(json_dict, handled_keys) %}
{%- if json_dict is mapping %}{%- for json_key in json_dict if json_key not in handled_keys %}
{%- if json_dict[json_key] is mapping
   or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}
{{- '<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}
{%- else %}{{- json_dict[json_key] | string }}{%- endif %}{%- endfor %}{%- endif %}{% endmacro %}
{%- for tool in tools %}{%- for name, fields in tool.parameters.properties|items %}
{{- further(fields, ['name', 'type', 'description', 'enum']) }}{%- endfor %}{%- endfor %}""",
    # Hermes: a table of types, a macro that calls itself
    "a table of types": """{%- macro python_type(spec) %}
{%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}
{%- if basic[spec.type] is defined %}{{- basic[spec.type] }}
{%- elif spec.type == "array" %}{{- "list[" + python_type(spec|items) + "]" }}
{%- elif spec.type is iterable and spec.type is not mapping %}
{%- for t in spec.type %}{{- python_type({"type": t}) }}{%- if not loop.last %}{{- "," }}{%- endif %}
{%- endfor %}{%- else %}{{- "Any" }}{%- endif %}{%- endmacro %}
{%- for tool in tools %}{%- for name, spec in tool.function.parameters.properties|items %}
{{- name + ": " + python_type(spec) }}{%- endfor %}{%- endfor %}""",
    # Hunyuan: a day of the week by its name, a flag in a dictionary
    "days of the week": """{% if tools %}{% set days = {'Monday': 'lundi', 'Sunday': 'dimanche'} %}
{% set day = days[strftime_now('%A')] %}{{ day ~ strftime_now('%Y-%m-%d %H:%M:%S') }}{% endif %}
{% set context = {'has_head': true} %}{% for message in messages %}
{% set _ = context.update({'has_head': false}) %}{% if context.has_head %}x{% endif %}{% endfor %}""",
    # gpt-oss: many macros, default arguments, namespaces, types of TypeScript
    "macros that make types": """{%- macro ts(spec, required, is_nullable=false) -%}
{%- if spec.type == "array" -%}{%- if spec['items'] -%}
{%- if spec['items']['type'] == "string" -%}{{- "string[]" }}
{%- else -%}{%- set inner = ts(spec['items'], required) -%}
{%- if inner == "object | object" or inner|length > 50 -%}{{- "any[]" }}
{%- else -%}{{- inner + "[]" }}{%- endif -%}{%- endif -%}{%- endif -%}
{%- elif spec.type is defined and spec.type is iterable and spec.type is not string -%}
{%- if spec.type | length > 1 -%}{{- spec.type | join(" | ") }}{%- else -%}{{- spec.type[0] }}{%- endif -%}
{%- elif spec.oneOf -%}{%- set flags = namespace(has_object=false) -%}
{%- for variant in spec.oneOf -%}{%- if variant.type == "object" -%}{%- set flags.has_object = true -%}
{%- endif -%}{{- ts(variant, required) -}}{%- if variant.description -%}{{- "// " + variant.description }}
{%- endif -%}{%- if variant.default is defined -%}{{ "// default: " + variant.default|tojson }}{%- endif -%}
{%- if not loop.last -%}{{- " | " }}{%- endif -%}{%- endfor -%}
{%- elif spec.enum -%}{{- '"' + spec.enum | join('" | "') + '"' -}}{%- else -%}{{- "any" }}{%- endif -%}
{%- endmacro -%}
{%- macro tool_space(name, tools) -%}{{- "namespace " + name + " {" }}
{%- for tool in tools %}{%- set tool = tool.function %}{{- tool.name + "(_: {" }}
{%- for key, spec in tool.parameters.properties.items() %}{{- key }}
{%- if key not in (tool.parameters.required or []) %}{{- "?" }}{%- endif -%}
{{- ts(spec, tool.parameters.required or []) }}{%- endfor %}{{- "})" }}{%- endfor %}{%- endmacro -%}
{%- set last = namespace(name=none, found=false) -%}
{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}
{{- tool_space("functions", tools) }}
{%- for message in loop_messages -%}
{%- if 'tool_calls' in message -%}{%- set future = namespace(found=false) %}
{%- for m in loop_messages[loop.index:] -%}{%- if m.role == 'assistant' -%}
{%- set future.found = true -%}{%- endif -%}{%- endfor -%}
{%- set last.name = message.tool_calls[0].function.name -%}
{%- elif loop.last and not add_generation_prompt -%}{{- message.content|tojson }}
{%- endif -%}{%- endfor -%}""",
    # Command-R and Command-R7B, Jamba, Granite: documents, sections, captured text
    "documents and captured text": """{%- macro turn(documents) -%}{%- for doc in documents -%}
{{ loop.index0|string + '-' ~ doc.title|upper }}{% for k, v in doc|dictsort %}{{ k ~ ': ' ~ v|string }}
{% endfor %}{%- endfor -%}{%- endmacro -%}
{% set preamble %}{% if system %}{{ system }}{% else %}You help.{% endif %}{% endset %}
{{ preamble | trim | replace('\\n', ' ') | indent(2, first=true) }}
{%- set ids = namespace(value=[]) %}{%- for msg in messages if msg.role == 'tool' %}
{%- if msg.tool_call_id not in ids.value %}{%- set ids.value = ids.value + [msg.tool_call_id] %}{%- endif %}
{%- endfor %}{{ turn(documents | default([])) }}{{ controls.get('length', 'short') | capitalize }}
{% filter trim %} {{ available_tools | map(attribute='name') | sort | unique | join(', ') }}
{% endfilter %}""",
    # DeepSeek V3 and R1: flags kept from turn to turn, searching back
    "searching back": """{% if not add_generation_prompt is defined %}
{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=false, is_tool=false, system='', outputs=true) %}
{%- for message in messages %}{%- if message['role'] == 'system' %}
{%- set ns.system = ns.system + '\\n\\n' + message['content'] %}{%- endif %}{%- endfor %}
{{ bos_token }}{{ ns.system }}
{%- for message in messages %}{%- set outer = loop.index0 -%}{%- set found = namespace(value=-1) -%}
{%- for earlier in messages -%}{%- if earlier['role'] == 'assistant' and loop.index0 < outer -%}
{%- set found.value = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- set order = outer - found.value -%}{%- set asked = messages[found.value] -%}
{%- if message['tool_calls'] is defined and order <= asked['tool_calls'] | length %}
{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}
{{ tool['type'] + tool['function']['name'] + '```json' + tool['function']['arguments'] }}
{%- set ns.is_first = true -%}{%- else %}{{ '\\n' + tool['type'] }}{%- endif %}{%- endfor %}{%- endif %}
{%- endfor -%}""",
    # Gemma 3, Qwen-VL, Llama 3.2 vision, Phi-4, SmolVLM: parts of a message
    "parts of a message": """{%- set image_count = namespace(value=0) %}
{%- for message in messages -%}{%- if message['content'] is string -%}{{ message['content'] | trim }}
{%- elif message['content'] is iterable -%}{%- for item in message['content'] -%}
{%- if item['type'] == 'image' or 'image_url' in item -%}{%- set image_count.value = image_count.value + 1 -%}
{%- if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|image_pad|>
{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}{%- endfor -%}
{%- else -%}{{ raise_exception("Invalid content type") }}{%- endif -%}
{%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}{%- endfor -%}""",
    # GLM-4, ERNIE, Kimi, MiniMax: macros that depend on tools, queues, numbered tools
    "queues and numbers": """{%- if tools -%}{%- macro visible(content) -%}{%- if content is string -%}
{{- content }}{%- elif content is iterable and content is not mapping -%}
{%- for item in content -%}{%- if item is mapping and item.type == 'text' -%}{{- item.text }}
{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}{{ visible(messages[0].content) }}{%- endif -%}
{%- set queue = namespace(ids=[]) -%}
{%- for m in messages -%}{%- if m.role == 'user' %}{%- set queue.ids = [] -%}{%- endif %}
{%- if m.tool_calls is defined -%}{%- for call in m.tool_calls -%}
{%- set _ = queue.ids.append('functions.' ~ call.function.name ~ ':' ~ (loop.index0 | string)) -%}
{%- endfor -%}{%- elif queue.ids -%}{%- set id = queue.ids.pop(0) -%}{{ id }}{%- endif -%}
{%- for tool in tools -%}{%- if tool.name == m.name -%}{{- visible(tool.description) }}{%- endif -%}
{%- endfor -%}{%- for i in range(loop.index0 + 1, messages|length) -%}
{%- if messages[i].role != 'tool' -%}{%- break -%}{%- endif -%}{%- endfor -%}{%- endfor -%}""",
    # MiniCPM, Kimi, Functionary: counting through pieces, a state handed to macros, blanks by depth
    "counting through pieces": """{%- macro next(state) -%}{{- image_prompts[state.index] -}}
{%- set state.index = state.index + 1 -%}{%- endmacro -%}
{%- macro deep(spec, depth=0) -%}{%- if depth >= 1 -%}{%- set blanks = "    " * depth -%}{{ blanks }}
{%- endif -%}{%- if spec.sub -%}{{ deep(spec.sub, depth + 1) }}{%- endif -%}
{%- for field, title in [("maximum", "Maximum"), ("minLength", "Minimum length")] -%}
{%- if field in spec -%}{{ " " + title ~ "=" ~ spec[field] }}{%- endif -%}{%- endfor -%}{%- endmacro -%}
{%- set state = namespace(index=0) -%}{{ next(state) }}{{ next(state) }}{{ deep(tools[0]) }}
{%- for message in messages -%}{%- set parts = message.content.split('<sep>') -%}
{%- set calls_count = message.tool_calls|length -%}{%- set sep_count = parts|length - 1 -%}
{%- for i in range(1, parts|length) -%}{%- set tool_index = i - 1 -%}
{%- if tool_index < calls_count -%}{{ message.tool_calls[tool_index].name ~ parts[i] }}{%- endif -%}
{%- endfor -%}{%- for rest in range(sep_count, calls_count) -%}{{ message.tool_calls[rest] }}
{%- endfor -%}{%- set half = messages[messages|length // 2] -%}{%- endfor -%}
{%- set token = '<|user{}|>'.format(suffix) -%}{{ token }}""",
    # what the language offers besides: blocks that call, recursion, neighbours, numbers, arguments by name
    "the rest of the language": """{%- macro box(title, kind='a') -%}
{{ title }}{{ caller() }}{{ varargs|length }}
{{ kwargs.get('x') }}{%- endmacro -%}
{% call box('t', kind='b') %}inner{% endcall %}{{ box('a', 'b', 'c', x=1) if false }}
{%- for item in tree recursive %}{{ item.name }}{% if item.children %}{{ loop(item.children) }}{% endif %}
{{ loop.cycle('odd', 'even') }}{{ loop.changed(item.name) }}{{ loop.depth0 }}{% endfor %}
{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == m.role %}{% continue %}
{% endif %}{% if not loop.last and loop.nextitem.role == 'tool' %}{{ m['content'][:40] }}{% endif %}
{% else %}none{% endfor %}
{% with total = messages|length, extra = {'a': 1, 'b': [1, 2.5, none, true]} %}{{ total - 1 }}{{ extra.a }}
{% endwith %}{% set x, y = 1, 2 %}{{ x + y }}{% set all = [] %}{% set all = all + [x] %}{{ all }}
{% for name in tools %}{{ tools[name].description }}{% endfor %}
{% for group in messages|groupby('role') %}{{ group.grouper }}{{ group.list|length }}{% endfor %}
{{ messages | map('upper') | select('string') | list | tojson(ensure_ascii=false) }}
{{ messages | rejectattr('role', 'in', ['tool']) | sort(attribute='index') | first }}
{{ (x if x is defined else 'd') | default('e', true) | string | truncate(20) | title }}
{{ dict(a=1, b=2) | tojson }}{{ 'a' if 'b' in messages[0] and messages[0].b is sequence else 'c' }}
{% generation %}{{ messages[-1].content }}{% endgeneration %}{# a comment #}{% raw %}{{ raw }}{% endraw %}""",
}


@pytest.mark.parametrize("source", CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_the_constructs_of_published_models_pass(scan, source: str) -> None:
    result = scan("chat_template.jinja", source.encode())

    assert result.verdict is Verdict.PASSED, result
