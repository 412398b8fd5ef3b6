"""From one operation of PyTorch to one of a trace: products, copies, sums, activations, loss gradients. Needs torch.

A handler adds operations and returns True, or returns False and adds nothing: then the operation is `opaque`.
"""
import torch

from weighbridge_client.storages import Unrepresentable

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Operations with products inside that no handler covers: their FLOP are not known here, and unknown is not 0.
PRODUCTS_INSIDE = ("conv", "addbmm", "baddbmm", "addmv", "mv.", "dot.", "lstm", "gru", "rnn", "einsum", "linear", "matmul",
                   "_mm", "bmm", "mm.", "attention")


class Call:
    """One call of an operation, with what a handler needs."""

    def __init__(self, recorder, name, args, kwargs, out):
        self.recorder, self.name, self.args, self.kwargs, self.out = recorder, name, args, kwargs, out
        self.storages = recorder.storages

    def ref(self, tensor, shape=None):
        if shape is not None and list(tensor.shape) != list(shape):
            tensor = tensor.detach().expand(shape)
        return self.storages.reference(tensor)

    def add(self, op, inputs, out, **parameters):
        """Operands are named before the output: an output may live in the storage that an operand lived in."""
        outputs = {"out": self.recorder.output(out)}
        self.recorder.add(op, inputs, outputs, **parameters)
        return True


def is_float(*tensors):
    return all(isinstance(tensor, torch.Tensor) and tensor.dtype in FLOATS for tensor in tensors)


def product(call, a, b, bias=None):
    shape = list(call.out.shape)
    rows, cols, k = shape[-2], shape[-1], a.shape[-1]
    if not is_float(a, b, call.out) or a.dtype != b.dtype or not call.out.is_contiguous():
        return False
    inputs = {"a": call.ref(a), "b": call.ref(b)}
    if bias is not None:
        inputs["bias"] = call.ref(bias)
    phase, name = call.recorder.phase_of(a, b, inputs)
    out = call.storages.produce(call.out)
    entered = "TF32" if call.recorder.tf32(a) else call.storages.stored(inputs["a"]["tensor"]).dtype
    call.recorder.add("matmul", inputs, {"c": out}, name=name, phase=phase, m=rows, n=cols, k=k, format=entered,
                      accumulator="F64" if a.dtype is torch.float64 else "F32")
    return True


def mm(call):
    return product(call, call.args[0], call.args[1])


def addmm(call):
    bias, a, b = call.args[:3]
    plain = call.kwargs.get("beta", 1) == 1 and call.kwargs.get("alpha", 1) == 1
    if not plain or bias.dim() != 1 or bias.dtype != a.dtype or bias.shape[0] != b.shape[1]:
        return False
    return product(call, a, b, bias)


def copied(call):
    source = call.args[0]
    if source.shape != call.out.shape:
        return False
    return _copy(call, source)


def _copy(call, source):
    if source.dtype == call.out.dtype:
        return call.add("view", {"in": call.ref(source)}, call.out)
    if is_float(source, call.out):
        return call.add("cast", {"in": call.ref(source)}, call.out)
    return False


def copy_into(call):
    source = call.args[1]
    return _copy(call, source.detach().expand(call.out.shape) if source.shape != call.out.shape else source)


def added(call):
    a, b = call.args[:2]
    if not is_float(a, b, call.out):
        return False
    alpha = call.kwargs.get("alpha", 1)
    inputs = {"a": call.ref(a, call.out.shape), "b": call.ref(b, call.out.shape)}
    return call.add("add", inputs, call.out, **({} if alpha == 1 else {"alpha": float(alpha)}))


def scaled(call):
    a, factor = call.args[:2]
    if isinstance(factor, torch.Tensor):
        if not is_float(a, factor, call.out):
            return False
        return call.add("scale", {"in": call.ref(a, call.out.shape), "factor": call.ref(factor, call.out.shape)}, call.out)
    if not is_float(a, call.out) or isinstance(factor, complex):
        return False
    return call.add("scale", {"in": call.ref(a)}, call.out, by=float(factor))


def divided(call):
    a, divisor = call.args[:2]
    if isinstance(divisor, (torch.Tensor, complex)) or divisor == 0 or not is_float(a, call.out) or len(call.args) > 2:
        return False
    return call.add("scale", {"in": call.ref(a)}, call.out, by=1.0 / float(divisor))


def relu(call):
    return is_float(call.args[0], call.out) and call.add("relu", {"in": call.ref(call.args[0])}, call.out)


def relu_grad(call):
    grad, x, threshold = call.args[:3]
    if threshold != 0 or not is_float(grad, x, call.out):
        return False
    return call.add("relu-grad", {"x": call.ref(x), "grad": call.ref(grad)}, call.out)


def gathered(call, table, index):
    if table.dim() != 2 or index.dtype not in (torch.int16, torch.int32, torch.int64, torch.uint8):
        return False
    return call.add("gather", {"table": call.ref(table), "index": call.ref(index)}, call.out)


def embedding(call):
    return gathered(call, call.args[0], call.args[1])


def index_select(call):
    return call.args[1] == 0 and gathered(call, call.args[0], call.args[2])


def indexed(call):
    indices = call.args[1]
    return len(indices) == 1 and indices[0] is not None and gathered(call, call.args[0], indices[0])


def joined(call):
    parts = [part for part in call.args[0] if part.numel()]
    dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    dim %= call.out.dim()
    if any(part.dtype != call.out.dtype or part.dim() != call.out.dim() for part in parts):
        return False
    return call.add("concat", {str(at): call.ref(part) for at, part in enumerate(parts)}, call.out, dim=dim)


def stacked(call):
    dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    dim %= call.out.dim()
    parts = [part.detach().unsqueeze(dim) for part in call.args[0]]
    if any(part.dtype != call.out.dtype for part in parts):
        return False
    return call.add("concat", {str(at): call.ref(part) for at, part in enumerate(parts)}, call.out, dim=dim)


def summed(call):
    x = call.args[0]
    dims = sorted(dim % x.dim() for dim in (call.args[1] or range(x.dim()))) if x.dim() else []
    if not is_float(x, call.out) or not dims or dims != list(range(x.dim() - 1)):
        return False
    columns = x.shape[-1]
    rows = x.detach().view(-1, columns) if x.is_contiguous() else (x if x.dim() == 2 else None)
    if rows is None:
        return False
    return call.add("column-sum", {"in": call.ref(rows)}, call.out)


def filled(value):
    return lambda call: is_float(call.out) and call.add("fill", {}, call.out, value=float(value))


def filled_with(at):
    def handler(call):
        value = call.args[at] if len(call.args) > at else call.kwargs.get("fill_value")
        if not isinstance(value, (int, float)):
            return False
        return is_float(call.out) and call.add("fill", {}, call.out, value=float(value))
    return handler


def log_softmax(call):
    logits, dim = call.args[0], call.args[1]
    if logits.dim() == 2 and dim in (1, -1) and is_float(logits):
        call.recorder.losses[("log-softmax", call.out.data_ptr())] = (call.ref(logits), call.out)
    return False


def nll_backward(call):
    grad, shares, targets, weight, reduction = call.args[:5]
    ignored = call.args[5]
    found = call.recorder.losses.get(("log-softmax", shares.data_ptr()))
    if found and weight is None and reduction in (1, 2) and ignored < 0 and targets.dim() == 1 and grad.dim() == 0:
        row = (found[0], call.ref(targets), call.ref(grad), ("none", "mean", "sum")[reduction], call.out, shares)
        call.recorder.losses[("nll", call.out.data_ptr())] = row
    return False


def log_softmax_backward(call):
    found = call.recorder.losses.get(("nll", call.args[0].data_ptr()))
    if not found or found[5].data_ptr() != call.args[1].data_ptr():
        return False
    logits, targets, grad, reduction, _, _ = found
    inputs = {"logits": logits, "targets": targets, "grad": grad}
    return call.add("cross-entropy-grad", inputs, call.out, reduction=reduction)


def mse_backward(call):
    grad, prediction, target, reduction = call.args[:4]
    if reduction not in (1, 2) or grad.dim() or prediction.shape != target.shape:
        return False
    if not is_float(grad, prediction, target, call.out):
        return False
    inputs = {"prediction": call.ref(prediction), "target": call.ref(target), "grad": call.ref(grad)}
    return call.add("mse-grad", inputs, call.out, reduction=("none", "mean", "sum")[reduction])


HANDLERS = {
    "aten.mm.default": mm,
    "aten.bmm.default": mm,
    "aten.addmm.default": addmm,
    "aten.clone.default": copied,
    "aten._to_copy.default": copied,
    "aten.copy_.default": copy_into,
    "aten.add.Tensor": added,
    "aten.add_.Tensor": added,
    "aten.mul.Tensor": scaled,
    "aten.mul_.Tensor": scaled,
    "aten.mul.Scalar": scaled,
    "aten.mul_.Scalar": scaled,
    "aten.div.Tensor": divided,
    "aten.div_.Tensor": divided,
    "aten.div.Scalar": divided,
    "aten.relu.default": relu,
    "aten.relu_.default": relu,
    "aten.threshold_backward.default": relu_grad,
    "aten.embedding.default": embedding,
    "aten.index_select.default": index_select,
    "aten.index.Tensor": indexed,
    "aten.cat.default": joined,
    "aten.stack.default": stacked,
    "aten.sum.dim_IntList": summed,
    "aten.ones_like.default": filled(1),
    "aten.zeros_like.default": filled(0),
    "aten.zeros.default": filled(0),
    "aten.new_zeros.default": filled(0),
    "aten.ones.default": filled(1),
    "aten.zero_.default": filled(0),
    "aten.full.default": filled_with(1),
    "aten.full_like.default": filled_with(1),
    "aten.fill_.Scalar": filled_with(1),
    "aten._log_softmax.default": log_softmax,
    "aten.nll_loss_backward.default": nll_backward,
    "aten._log_softmax_backward_data.default": log_softmax_backward,
    "aten.mse_loss_backward.default": mse_backward,
}


def opaque_flop(call):
    """FLOP of an operation that no handler covers, by the dense convention: 0 without products inside, None if unknown."""
    short = call.name.split(".", 1)[-1]
    if "scaled_dot_product" in short or "flash_attention" in short or "efficient_attention" in short:
        tensors = [tensor for tensor in call.args if isinstance(tensor, torch.Tensor)]
        at = 1 if "backward" in short else 0
        if len(tensors) < at + 3 or tensors[at].dim() != 4:
            return None
        query, key, value = tensors[at : at + 3]
        batch, heads, rows, width = query.shape
        forward = 2 * batch * heads * rows * key.shape[2] * (width + value.shape[3])
        # Each of the two products has two gradients; what the kernel computes again is not counted.
        return 2 * forward if at else forward
    return None if any(part in short for part in PRODUCTS_INSIDE) else 0


def try_handler(call):
    """True when the operation is in the trace by its own name."""
    handler = HANDLERS.get(call.name)
    if handler is None or not isinstance(call.out, torch.Tensor):
        return False
    mark = call.recorder.mark()
    try:
        return bool(handler(call))
    except Unrepresentable:
        call.recorder.undo(mark)
        return False
