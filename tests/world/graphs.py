"""ONNX models, built by hand."""

from __future__ import annotations

from world.frames import field


def tensor(name: bytes = b"w", data: bytes = b"\0" * 4, *parts: bytes) -> bytes:
    """One number of 32 bits, or what `data` holds."""
    return field(1, 1) + field(2, 1) + field(8, name) + (field(9, data) if data else b"") + b"".join(parts)


def elsewhere(*locations: bytes) -> bytes:
    """A tensor whose numbers lie in other files."""
    named = (field(13, field(1, b"location") + field(2, each)) for each in locations)
    return tensor(b"w", b"", *named, field(13, field(1, b"offset") + field(2, b"0")), field(14, 1))


def attribute(name: bytes, number: int, value: bytes | float) -> bytes:
    """An attribute whose value stands in the field `number`."""
    return field(1, name) + field(number, value)


def node(operator: bytes, *attributes: bytes, domain: bytes | None = None) -> bytes:
    """A node without inputs."""
    head = field(2, b"out") + field(4, operator) + (b"" if domain is None else field(7, domain))
    return head + b"".join(field(5, each) for each in attributes)


def graph(*nodes: bytes, tensors: tuple[bytes, ...] = ()) -> bytes:
    """A graph of these nodes."""
    return (
        b"".join(field(1, each) for each in nodes)
        + field(2, b"main")
        + b"".join(field(5, each) for each in tensors)
    )


def function(domain: bytes, name: bytes, *nodes: bytes) -> bytes:
    """An operator that the file makes itself."""
    return field(1, name) + b"".join(field(7, each) for each in nodes) + field(10, domain)


def model(body: bytes | None = None, *more: bytes) -> bytes:
    """A model with one graph, and other fields behind it."""
    body = graph(node(b"Relu"), tensors=(tensor(),)) if body is None else body
    return field(1, 10) + field(2, b"pytorch") + field(7, body) + b"".join(more) + field(8, field(2, 18))
