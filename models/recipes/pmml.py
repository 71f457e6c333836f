"""PMML to ONNX: trees, ensembles of trees and regressions on numbers.

    python pmml.py MODEL.pmml OUT_FOLDER

writes model.onnx, model.toml (names of the columns) and, for a classifier, labels.txt.
Input `features` [N, F] float or double, in the order of the mining schema; output `probabilities`
[N, C] or `value` [N, 1], float. Arithmetic is in double precision, as PMML's evaluators have it.

Covered: TreeModel; RegressionModel; MiningModel by sum, average, their weighted forms,
majority vote, and modelChain; derived fields of FieldRef, Constant and arithmetic; Targets that
rescale. Anything else ends with a message, never with a model that answers otherwise. Missing
values are not carried over: the model wants every column.
"""
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_tools import save
from pmml_trees import Nodes, Unsupported, child, children

MODELS = ("TreeModel", "RegressionModel", "MiningModel")
NUMBERS = ("float", "double", "integer")
ARITHMETIC = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "pow": "Pow",
              "exp": "Exp", "ln": "Log", "sqrt": "Sqrt", "abs": "Abs"}


class Graph:
    """An ONNX graph in the making. Its tensors are double, fields are [N, 1]."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def add(self, operator, *inputs, **attributes):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, value, dtype=np.float64):
        array = np.asarray(value, dtype)
        key = (array.tobytes(), array.shape, array.dtype.str)
        return self.constants.setdefault(key, (f"c{len(self.constants)}", array))[0]

    def concat(self, tensors):
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def as_float(self, tensor):
        """Rounded to single precision, as a field of that type is."""
        narrow = self.add("Cast", tensor, to=TensorProto.FLOAT)
        return self.add("Cast", narrow, to=TensorProto.DOUBLE)


class Field:
    def __init__(self, tensor, single):
        self.tensor, self.single = tensor, single

    def number(self, text):
        """A constant that this field is compared with, in the field's own precision."""
        return float(np.float32(text)) if self.single else float(text)


class Converter:
    def __init__(self, graph, classes):
        self.graph, self.classes = graph, classes

    def expression(self, element, fields):
        if element.tag == "FieldRef":
            return fields[element.get("field")].tensor
        if element.tag == "Constant":
            return self.graph.constant([[float(element.text)]])
        if element.tag == "Apply" and element.get("function") in ARITHMETIC:
            parts = [self.expression(part, fields) for part in element]
            return self.graph.add(ARITHMETIC[element.get("function")], *parts)
        raise Unsupported(f"{element.tag} {element.get('function', '')}".strip())

    def derive(self, parent, fields):
        """The fields, and those that are made of them."""
        fields = dict(fields)
        for derived in children(parent, "DerivedField") if parent is not None else ():
            if derived.get("dataType") not in NUMBERS:
                raise Unsupported(f"a derived field of type {derived.get('dataType')}")
            tensor = self.expression(next(e for e in derived if e.tag != "Extension"), fields)
            single = derived.get("dataType") == "float"
            tensor = self.graph.as_float(tensor) if single else tensor
            fields[derived.get("name")] = Field(tensor, single)
        return fields

    def model(self, element, fields):
        """The tensor of a model's scores: [N, C] of a classifier, else [N, 1]."""
        for field in children(child(element, "MiningSchema"), "MiningField"):
            if field.get("outliers", "asIs") != "asIs":
                raise Unsupported("outliers that are treated")
        fields = self.derive(child(element, "LocalTransformations"), fields)
        convert = {"TreeModel": self.tree, "RegressionModel": self.regression,
                   "MiningModel": self.mining}[element.tag]
        return self.rescale(element, convert(element, fields))

    def rescale(self, element, scores):
        targets = child(element, "Targets")
        target = child(targets, "Target") if targets is not None else None
        if target is None:
            return scores
        if set(target.attrib) - {"field", "rescaleConstant", "rescaleFactor"} or len(target):
            raise Unsupported("a Target that does more than rescale")
        factor, constant = (float(target.get(k, d)) for k, d in
                            (("rescaleFactor", 1), ("rescaleConstant", 0)))
        scaled = self.graph.add("Mul", scores, self.graph.constant(factor))
        return self.graph.add("Add", scaled, self.graph.constant(constant))

    def regression(self, element, fields):
        tables = children(element, "RegressionTable")
        classifies = element.get("functionName") == "classification"
        if classifies:
            by_class = {table.get("targetCategory"): table for table in tables}
            if set(by_class) != set(self.classes):
                raise Unsupported("a RegressionModel without a table for each class")
            tables = [by_class[name] for name in self.classes]
        values = []
        for table in tables:
            value = self.graph.constant([[float(table.get("intercept", 0))]])
            for predictor in table:
                if predictor.tag == "Extension":
                    continue
                if predictor.tag != "NumericPredictor" or predictor.get("exponent", "1") != "1":
                    raise Unsupported(f"{predictor.tag} in a RegressionTable")
                factor = self.graph.constant([[float(predictor.get("coefficient"))]])
                term = self.graph.add("Mul", fields[predictor.get("name")].tensor, factor)
                value = self.graph.add("Add", term, value)
            values.append(value)
        method = element.get("normalizationMethod", "none")
        if not classifies and method in ("none", "exp", "logit", "softmax"):
            if method == "none":
                return values[0]
            return self.graph.add("Exp" if method == "exp" else "Sigmoid", values[0])
        if classifies and method == "softmax":
            # A table without predictors has one row, which the others' rows are added to.
            zero = self.graph.add("Mul", next(iter(fields.values())).tensor, self.graph.constant(0))
            values = [self.graph.add("Add", value, zero) for value in values]
            return self.graph.add("Softmax", self.graph.concat(values), axis=1)
        if classifies and method == "logit" and len(values) == 2:
            # The first table counts, whichever class it is of.
            first = children(element, "RegressionTable")[0].get("targetCategory")
            place = self.classes.index(first)
            p = self.graph.add("Sigmoid", values[place])
            rest = self.graph.add("Sub", self.graph.constant(1), p)
            return self.graph.concat([p, rest] if place == 0 else [rest, p])
        raise Unsupported(f"{element.get('functionName')} normalised by {method}")

    def tree(self, element, fields):
        return self.forest([(element, 1.0)], fields, False)

    def forest(self, trees, fields, votes):
        """The weighted sum of trees in one node; with `votes`, of the class that each names."""
        columns = sorted({predicate.get("field") for tree, _ in trees
                          for predicate in tree.iter("SimplePredicate")})
        if not columns:
            columns = [next(iter(fields))]
        matrix = self.graph.concat([fields[name].tensor for name in columns])
        nodes = Nodes(columns, fields, self.classes, votes)
        for number, (tree, weight) in enumerate(trees):
            nodes.start(number, weight, tree)
        scores = self.graph.add("TreeEnsembleRegressor", matrix, domain="ai.onnx.ml",
                                n_targets=max(nodes.targets, 1), **nodes.attributes())
        return self.graph.add("Cast", scores, to=TensorProto.DOUBLE)

    def mining(self, element, fields):
        segmentation = child(element, "Segmentation")
        if segmentation is None:
            raise Unsupported("a MiningModel without Segmentation")
        segments = children(segmentation, "Segment")
        if any(child(segment, "True") is None for segment in segments):
            raise Unsupported("a Segment that is for some inputs only")
        method = segmentation.get("multipleModelMethod")
        if method == "modelChain":
            for segment in segments:
                model = child(segment, *MODELS)
                scores = self.model(model, fields)
                fields = self.outputs(model, scores, fields)
            return scores
        known = ("sum", "weightedSum", "average", "weightedAverage",
                 "majorityVote", "weightedMajorityVote")
        if method not in known:
            raise Unsupported(f"a MiningModel by {method}")
        weighted, votes = method.startswith("weighted"), method.lower().endswith("vote")
        weights = [float(s.get("weight", 1)) if weighted else 1.0 for s in segments]
        if not method.lower().endswith("sum"):
            weights = [weight / sum(weights) for weight in weights]
        models = [child(segment, *MODELS) for segment in segments]
        own = ("LocalTransformations", "Targets")
        if all(m is not None and m.tag == "TreeModel" and child(m, *own) is None for m in models):
            return self.forest(list(zip(models, weights)), fields, votes)
        if votes or None in models:
            raise Unsupported("segments other than trees in a vote")
        parts = [self.graph.add("Mul", self.model(model, fields), self.graph.constant(weight))
                 for model, weight in zip(models, weights)]
        return self.graph.add("Sum", *parts) if len(parts) > 1 else parts[0]

    def outputs(self, model, scores, fields):
        """Adds what a segment of a chain hands on."""
        fields, output = dict(fields), child(model, "Output")
        for field in children(output, "OutputField") if output is not None else ():
            feature, single = field.get("feature", "predictedValue"), field.get("dataType") == "float"
            if feature == "predictedValue" and model.get("functionName") == "regression":
                tensor = scores
            elif feature == "probability" and field.get("value") in self.classes:
                column = self.graph.constant([self.classes.index(field.get("value"))], np.int64)
                tensor = self.graph.add("Gather", scores, column, axis=1)
            elif feature == "transformedValue":
                tensor = self.expression(next(e for e in field if e.tag != "Extension"), fields)
            else:
                raise Unsupported(f"an OutputField of {feature} in a chain")
            tensor = self.graph.as_float(tensor) if single else tensor
            fields[field.get("name")] = Field(tensor, single)
        return fields


def read(path):
    """The root element, without namespaces."""
    root = ElementTree.parse(path).getroot()
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def convert(path):
    """The ONNX model, the names of its columns and those of its classes."""
    root = read(path)
    model = child(root, *MODELS)
    if model is None:
        kinds = ", ".join(MODELS)
        raise Unsupported(f"none of {kinds}: {', '.join(element.tag for element in root)}")
    dictionary = {f.get("name"): f for f in children(child(root, "DataDictionary"), "DataField")}
    schema = children(child(model, "MiningSchema"), "MiningField")
    names = [f.get("name") for f in schema if f.get("usageType", "active") == "active"]
    targets = [f.get("name") for f in schema if f.get("usageType") in ("target", "predicted")]
    for name in names:
        if dictionary[name].get("dataType") not in NUMBERS or (
                dictionary[name].get("optype") == "categorical"):
            raise Unsupported(f"the input {name}, which is no number")
    classes = []
    if model.get("functionName") == "classification":
        classes = [v.get("value") for v in children(dictionary[targets[0]], "Value")]
        if not classes:
            raise Unsupported("a classification whose target lists no values")
    single = {name: dictionary[name].get("dataType") == "float" for name in names}
    kind = TensorProto.FLOAT if all(single.values()) else TensorProto.DOUBLE

    graph = Graph()
    features = graph.add("Cast", "features", to=TensorProto.DOUBLE)
    fields = {}
    for column, name in enumerate(names):
        tensor = graph.add("Gather", features, graph.constant([column], np.int64), axis=1)
        if single[name] and kind == TensorProto.DOUBLE:
            tensor = graph.as_float(tensor)
        fields[name] = Field(tensor, single[name])
    converter = Converter(graph, classes)
    fields = converter.derive(child(root, "TransformationDictionary"), fields)
    scores = converter.model(model, fields)
    output = "probabilities" if classes else "value"
    graph.nodes.append(helper.make_node("Cast", [scores], [output], to=TensorProto.FLOAT))
    used = {name for node in graph.nodes for name in node.input}
    made = helper.make_graph(
        graph.nodes, "pmml",
        [helper.make_tensor_value_info("features", kind, ["N", len(names)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", len(classes) or 1])],
        [numpy_helper.from_array(a, name) for name, a in graph.constants.values() if name in used],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    result = helper.make_model(made, opset_imports=opsets, ir_version=8, producer_name="pmml.py")
    return result, names, classes


def main(source, folder):
    folder = Path(folder)
    try:
        model, names, classes = convert(source)
    except Unsupported as reason:
        sys.exit(f"{source}: not converted, since this recipe does not know {reason}")
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder / "model.onnx")
    task = "classification" if classes else "regression"
    # A string of JSON is one of TOML.
    toml = f'task = "tabular-{task}"\nfeature_names = {json.dumps(names)}\n'
    if classes:
        toml += 'scores = "probabilities"\n'
        (folder / "labels.txt").write_text("\n".join(classes) + "\n")
    (folder / "model.toml").write_text(toml)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python pmml.py MODEL.pmml OUT_FOLDER")
    main(*sys.argv[1:])
