"""Small things the recipes share."""
import onnx


def save(model, path):
    """Save a model with each operator domain that it uses named once.

    skl2onnx may name one twice, ONNX Runtime's quantiser names some that are unused.
    """
    used = {n.domain for n in model.graph.node} | {""}
    opsets = {o.domain: o.version for o in model.opset_import if o.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in sorted(opsets.items()))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
