"""The words of Jinja that chat templates may use: calls, methods, filters, tests, and how filters take names.

Source: Jinja 3.1 ``filters.py``, ``tests.py``, ``runtime.py``; Transformers 5.23
``utils/chat_template_utils.py``.
"""

from __future__ import annotations


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


CALLS = _words("caller cycler dict joiner namespace raise_exception range strftime_now")
"""Names that a template may call, and must not give another meaning. Its own macros come to these."""

RESERVED = CALLS | _words("kwargs loop varargs")
"""Names that mean something of Jinja's."""

FOREIGN = _words("config get_flashed_messages lipsum request self super url_for")
"""Names under which servers or Jinja itself hand out objects that lead to all of Python."""

FRAMES = _words(
    "ag_await ag_code ag_frame co_code co_consts cr_await cr_code cr_frame f_back f_builtins f_code",
    "f_globals f_locals func_closure func_code func_globals gi_code gi_frame gi_yieldfrom",
    "im_class im_func im_self tb_frame tb_next",
)
"""Attributes without an underscore in front that lead from a generator or a function to all of Python."""

METHODS = _words(
    "append capitalize copy count endswith extend find get index insert isalnum isalpha isdecimal isdigit",
    "islower isnumeric isspace istitle isupper items join keys ljust lower lstrip partition pop removeprefix",
    "removesuffix replace reverse rfind rindex rjust rpartition rsplit rstrip split splitlines startswith",
    "strip swapcase title update upper values zfill",
)
CHANGING_METHODS = _words("append extend insert update")
"""Those that put something into a list or a dictionary."""
DICT_METHODS = frozenset(dir(dict))
"""Methods that a dictionary has itself: an entry of that name does not take their place."""

LOOP = _words(
    "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"
)
LOOP_NUMBERS = _words("depth depth0 index index0 length revindex revindex0")

PLAIN_FILTERS = _words(
    "abs batch capitalize center count d default dictsort e escape first float forceescape from_json",
    "fromjson indent int items last length list lower reverse round safe slice string striptags title",
    "tojson trim truncate upper urlencode wordcount wordwrap replace",
)
"""Filters whose arguments are plain values."""

ATTRIBUTE_FILTERS = _words("groupby join max min sort sum unique")
"""Filters of which some argument may be the name of an attribute."""

NAMING_FILTERS = _words("map reject rejectattr select selectattr")
"""Filters that are given the name of a filter, of a test or of an attribute."""

FILTERS = PLAIN_FILTERS | ATTRIBUTE_FILTERS | NAMING_FILTERS

PASSING_FILTERS = _words("d default first last map max min random")
"""Filters whose result may be a value that was put in."""

KEEPING_FILTERS = _words(
    "d default dictsort first items last list reject rejectattr reverse select selectattr sort unique"
)
"""Filters that choose among values and make no text."""

TESTS = _words(
    "boolean callable defined divisibleby eq equalto escaped even false float ge greaterthan gt in integer",
    "iterable le lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper",
    "!= == < <= > >=",
)

ESCAPES = _words("attr format pprint xmlattr")
"""Filters that put text together by a pattern, or reach attributes by a computed name."""
