"""Trees of PMML as the attributes of ONNX's TreeEnsembleRegressor; for `pmml.py`."""
import numpy as np
from onnx import numpy_helper

# PMML's comparisons as modes of a tree's node, and what holds where they do not.
MODES = {"lessThan": "BRANCH_LT", "lessOrEqual": "BRANCH_LEQ", "greaterThan": "BRANCH_GT",
         "greaterOrEqual": "BRANCH_GTE", "equal": "BRANCH_EQ", "notEqual": "BRANCH_NEQ"}
OPPOSITE = {"lessThan": "greaterOrEqual", "greaterOrEqual": "lessThan", "lessOrEqual": "greaterThan",
            "greaterThan": "lessOrEqual", "equal": "notEqual", "notEqual": "equal"}


class Unsupported(Exception):
    """Something in the PMML that this recipe does not convert."""


def children(element, *names):
    return [child for child in element if child.tag in names]


def child(element, *names):
    return next(iter(children(element, *names)), None)


class Nodes:
    """The attributes of a TreeEnsembleRegressor. PMML's nodes have any number of children, of which
    the first whose predicate holds counts; here they become a chain of yes and no."""

    KEYS = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")

    def __init__(self, columns, fields, classes, votes):
        self.columns, self.fields, self.classes, self.votes = columns, fields, classes, votes
        self.rows, self.weights, self.targets = [], [], len(classes)

    def start(self, number, weight, tree):
        if tree.get("functionName") == "regression":
            self.targets = 1
        self.number, self.weight, self.size, self.tree = number, weight, 0, tree
        root = child(tree, "Node")
        if child(root, "True") is None:
            raise Unsupported("a tree whose root has a predicate")
        self.node(root)

    def row(self, column=0, mode="LEAF", value=0.0):
        row = [self.number, self.size, column, mode, value, 0, 0]
        self.rows.append(row)
        self.size += 1
        return row

    def node(self, node):
        inner = children(node, "Node")
        if not inner:
            return self.leaf(node)
        return self.chain(node, inner)

    def chain(self, parent, candidates):
        """The id of the node that decides between the candidates."""
        if not candidates:
            if self.tree.get("noTrueChildStrategy") != "returnLastPrediction":
                raise Unsupported("a tree that may give no answer")
            return self.leaf(parent)
        first, *others = candidates
        if child(first, "True") is not None:
            return self.node(first)
        predicate = child(first, "SimplePredicate")
        if predicate is None or predicate.get("operator") not in MODES:
            raise Unsupported("a predicate other than a comparison of a number")
        name, operator = predicate.get("field"), predicate.get("operator")
        field = self.fields[name]
        row = self.row(self.columns.index(name), MODES[operator], field.number(predicate.get("value")))
        row[5] = self.node(first)
        rest = child(others[0], "SimplePredicate") if len(others) == 1 else None
        if rest is not None and (rest.get("field"), rest.get("operator"), rest.get("value")) == (
                name, OPPOSITE[operator], predicate.get("value")):
            row[6] = self.node(others[0])
        else:
            row[6] = self.chain(parent, others)
        return row[1]

    def leaf(self, node):
        row = self.row()
        for target, value in self.scores(node):
            self.weights.append((self.number, row[1], target, value * self.weight))
        return row[1]

    def scores(self, node):
        if self.tree.get("functionName") == "regression":
            if node.get("score") is None:
                raise Unsupported("a node without a score")
            return [(0, float(node.get("score")))]
        distribution = children(node, "ScoreDistribution")
        if self.votes or not distribution:
            if node.get("score") not in self.classes:
                raise Unsupported("a node without a score")
            return [(self.classes.index(node.get("score")), 1.0)]
        if all(entry.get("probability") for entry in distribution):
            shares = [float(entry.get("probability")) for entry in distribution]
        else:
            counts = [float(entry.get("recordCount")) for entry in distribution]
            shares = [count / sum(counts) for count in counts]
        return [(self.classes.index(e.get("value")), s) for e, s in zip(distribution, shares)]

    def attributes(self):
        columns = dict(zip(self.KEYS, zip(*self.rows)))
        doubles = {"nodes_values": columns.pop("values")}
        attributes = {f"nodes_{key}": list(values) for key, values in columns.items()}
        keys = ("target_treeids", "target_nodeids", "target_ids", "target_weights")
        targets = dict(zip(keys, zip(*self.weights)))
        doubles["target_weights"] = targets.pop("target_weights")
        attributes.update({key: list(values) for key, values in targets.items()})
        for key, values in doubles.items():
            array = np.array(values, np.float64)
            attributes[f"{key}_as_tensor"] = numpy_helper.from_array(array, key)
        return attributes
