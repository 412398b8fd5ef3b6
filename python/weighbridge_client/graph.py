"""The graph of a trace as it grows (docs/trace-format.md): tensors, operations, and what of them matters."""
import json
import os

from weighbridge_client import safetensors

FORMAT = "weighbridge/trace/v1"
# Operations that are kept for their own sake; everything else only where one of these leads back to it.
ROOTS = ("matmul", "sgd", "adamw")


class Tensor:
    """One stored tensor: name, data type, shape, and a function that gives its bytes when they are written."""

    __slots__ = ("name", "dtype", "shape", "size", "give", "before", "after", "batch")

    def __init__(self, name, dtype, shape, size, give):
        self.name, self.dtype, self.shape, self.size, self.give = name, dtype, list(shape), size, give
        self.before = self.after = self.batch = None

    def described(self):
        row = {"name": self.name, "dtype": self.dtype, "shape": self.shape}
        for key in ("before", "after", "batch"):
            if getattr(self, key) is not None:
                row[key] = getattr(self, key)
        return row


def number(value):
    """A parameter: the shortest decimal that gives the float back; whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, str)) else repr(float(value))


class Graph:
    """Tensors and operations of one step."""

    def __init__(self, framework, attempt, step, rank):
        self.framework, self.unit = framework, {"attempt": attempt, "step": step, "rank": rank}
        self.tensors, self.operations = {}, []

    def add_tensor(self, tensor):
        if tensor.name in self.tensors:
            raise ValueError(f"tensor {tensor.name!r} stands twice")
        self.tensors[tensor.name] = tensor
        return tensor

    def add(self, op, name, inputs, outputs, micro_batch=0, **parameters):
        """Inputs and outputs are operands by role: {"tensor": …} with a view where it is not the whole tensor."""
        row = {"op": op, "name": name}
        if micro_batch:
            row["micro_batch"] = micro_batch
        row.update({"in": inputs, "out": outputs})
        if parameters:
            row["with"] = {key: number(value) for key, value in parameters.items()}
        self.operations.append(row)

    def alive(self):
        """Operations that lead to a product, an update or the next checkpoint, in their order."""
        needed = {tensor.name for tensor in self.tensors.values() if tensor.after is not None}
        kept = []
        for row in reversed(self.operations):
            states_flop = row["op"] == "opaque" and row.get("with", {}).get("flop") != "0"
            outputs = {operand["tensor"] for operand in row["out"].values()}
            if row["op"] in ROOTS or states_flop or outputs & needed:
                kept.append(row)
                needed.update(operand["tensor"] for operand in row["in"].values())
        kept.reverse()
        return kept

    def write(self, folder):
        """Writes `graph.json` and `tensors.safetensors`; the graph comes last, so that a folder with one is complete."""
        operations = self.alive()
        used = set()
        for row in operations:
            for side in ("in", "out"):
                used.update(operand["tensor"] for operand in row[side].values())
        tensors = [tensor for tensor in self.tensors.values() if tensor.name in used]
        os.makedirs(folder, exist_ok=True)
        rows = [(t.name, t.dtype, t.shape, t.size, t.give) for t in tensors]
        digest = safetensors.write(os.path.join(folder, "tensors.safetensors"), rows)
        graph = {
            "format": FORMAT,
            "framework": self.framework,
            "unit": self.unit,
            "tensors_sha256": digest,
            "tensors": [tensor.described() for tensor in tensors],
            "operations": operations,
        }
        part = os.path.join(folder, "graph.json.part")
        with open(part, "w", encoding="utf-8") as file:
            json.dump(graph, file, separators=(",", ":"))
        os.replace(part, os.path.join(folder, "graph.json"))
        return graph
