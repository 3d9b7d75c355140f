"""Frameworks that pickle objects of their own classes: what to say of them once, and what to do instead.

Data, not code. Such a pickle is refused as any other would be; where every name in it is explained by the
framework that wrote it, one sentence says so instead of one for each class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.scanner.allowed import allowed

if TYPE_CHECKING:
    from tuneguard.formats.pickle.values import Global

_CLASS = re.compile(r"_?[A-Z][A-Za-z0-9]*", re.ASCII)
"""A name that is written as classes are, of the module itself. `os.system` of any module is none."""


@dataclass(frozen=True, slots=True)
class Framework:
    """One that writes its objects as pickles.

    ``modules`` are where their classes are. ``names`` are functions that its pickles call besides, and
    ``beside`` allowed names that they use in forms that are not allowed.
    """

    what: str
    instead: str
    modules: tuple[str, ...]
    names: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()

    def wrote(self, value: Global) -> bool:
        """Whether a name is one of its own."""
        if value.path in self.names:
            return True
        return _CLASS.fullmatch(value.name) is not None and any(
            value.module == module or value.module.startswith(f"{module}.") for module in self.modules
        )


TORCHSCRIPT = Framework(
    "TorchScript code",
    "save the weights: torch.save(model.state_dict(), …) or safetensors",
    ("__torch__",),
    names=frozenset({"torch.jit._pickle.build_intlist", "torch.jit._pickle.restore_type_tag"}),
)
"""Reported by a rule of its own, since the archive around the pickles shows it as well."""
_ARRAYS = frozenset({"numpy.dtype", "numpy.ndarray", "numpy._core.multiarray._reconstruct"})

FRAMEWORKS = (
    TORCHSCRIPT,
    Framework(
        "a model of scikit-learn",
        "convert the model to ONNX (skl2onnx), or keep the pickle out of the checkpoint",
        ("sklearn", "joblib"),
        beside=_ARRAYS,
    ),
    Framework(
        "a model of XGBoost", 'save it as JSON: model.save_model("model.json")', ("xgboost",), beside=_ARRAYS
    ),
    Framework(
        "a whole module of torch",
        "save the weights alone: torch.save(model.state_dict(), …) or safetensors",
        ("torch.nn.modules", "torch.nn.parallel"),
    ),
    Framework(
        "a configuration of OmegaConf",
        "save plain values: OmegaConf.to_container(cfg)",
        ("omegaconf",),
        names=frozenset({"typing.Any"}),
        beside=frozenset(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in ("dict", "list", "str", "int", "long", "float", "bool", "bytes", "unicode")
        ),
    ),
    Framework(
        "a tensor class of torchao",
        "save the weights before quantize_, and quantise them when the model is loaded",
        ("torchao",),
        names=frozenset({"torch._utils._rebuild_wrapper_subclass"}),
        beside=frozenset({"torch._tensor._rebuild_from_type_v2"}),
    ),
    Framework(
        "a nested tensor",
        "save their parts: tensor.unbind()",
        ("torch.nested._internal.nested_tensor",),
        names=frozenset(
            {
                "torch._utils._rebuild_nested_tensor",
                "torch.nested._internal.nested_tensor._rebuild_njt",
                "torch._dynamo.decorators._DimRange",
            }
        ),
        beside=frozenset({"torch._tensor._rebuild_from_type_v2"}),
    ),
    Framework(
        "a random generator of NumPy",
        "save its state: generator.bit_generator.state, or get_state() of a RandomState",
        ("numpy.random",),
        names=frozenset(
            {
                *(
                    f"numpy.random._pickle.__{name}_ctor"
                    for name in ("bit_generator", "generator", "randomstate")
                ),
                "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
            }
        ),
    ),
)


def framework_of(value: Global) -> Framework | None:
    """The framework that a name belongs to, or None. What is allowed is nobody's."""
    if allowed(value) is not None:
        return None
    return next((framework for framework in FRAMEWORKS if framework.wrote(value)), None)
