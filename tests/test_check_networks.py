"""The checkers of the chapter on radial networks: right answers pass, each typical mistake gets its hint."""

import re
from itertools import pairwise

import pytest
import torch

from radbook import RadialNetwork, check, parameter_count, rescale


def weights_only(widths):
    return sum(a * b for a, b in pairwise(widths))


def network(weights, biases, x, rho, last=False):
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = rho(x @ w.T + b)
    x = x @ weights[-1].T + biases[-1]
    return rho(x) if last else x


def length(z):
    return z.norm(dim=1, keepdim=True)


def right_forward(weights, biases, h, x):
    return network(weights, biases, x, lambda z: rescale(z, h))


def forward_with(activation, last=False):
    return lambda weights, biases, h, x: network(weights, biases, x, lambda z: activation(z, h), last)


def value_at_zero(z, h):
    r = length(z)
    return torch.where(r > 0, rescale(z, h), h(r))


def without_biases(weights, biases, h, x):
    return right_forward(weights, [0 * b for b in biases], h, x)


def without_last_weight(weights, biases, h, x):
    return network(weights[:-1], biases[:-1], x, lambda z: rescale(z, h))


def right_centre(w, b):
    c = -torch.linalg.pinv(w) @ b
    return c, (b + w @ c).norm()


def with_height(height):
    return lambda w, b: (right_centre(w, b)[0], height(w, b))


def normal_equations(w, b):
    c = -torch.linalg.inv(w.T @ w) @ w.T @ b
    return c, (b + w @ c).norm()


def far_centre(w, b):
    c, d = right_centre(w, b)
    kernel = torch.eye(w.shape[1]).double() - torch.linalg.pinv(w) @ w
    return c + kernel.sum(dim=1), d


def by_squares(root):
    def answer(w, b):
        c, _ = right_centre(w, b)
        return c, root(b @ b - (w @ c) @ (w @ c))

    return answer


def guarded_inverse(w, b):
    c = -(w.T @ b) / w.square().sum()
    return c, (b + w @ c).norm()


def turned(left=lambda q: q, right=lambda q: q.mT, bias=lambda q, b: q @ b, last=True):
    def answer(q, weights, biases):
        weights, biases = list(weights), list(biases)
        for i, a in enumerate(q):
            weights[i], biases[i] = left(a) @ weights[i], bias(a, biases[i])
            if last or i + 2 < len(weights):
                weights[i + 1] = weights[i + 1] @ right(a)
        return weights, biases

    return answer


def in_place(q, weights, biases):
    for i, a in enumerate(q):
        weights[i].copy_(a @ weights[i])
    return weights, biases


def same(a):
    return torch.eye(len(a)).double()


def without_copy_of_the_list(q, weights, biases):
    for i, a in enumerate(q):
        weights[i], biases[i] = a @ weights[i], a @ biases[i]
        weights[i + 1] = weights[i + 1] @ a.T
    return weights, biases


def from_output(unit, slope_at_zero=True):
    def answer(y, r, g, h, dh):
        at_zero = dh(r) if slope_at_zero else 0.0
        factor = torch.where(r > 0, h(r) / torch.where(r > 0, r, 1.0), at_zero)
        u = unit(y, r)
        return factor * g + (dh(r) - factor) * (u * g).sum(dim=1, keepdim=True) * u

    return answer


def safe_unit(y, r):
    return y / torch.where(length(y) > 0, length(y), 1.0)


def unsafe_unit(y, r):
    return y / length(y)


def over_radius(y, r):
    return y / torch.where(r > 0, r, 1.0)


def no_unit(y, r):
    return 0 * y


def guess_where_lost(y, r, g, h, dh):
    """Passes g on where y = 0 and r > 0."""
    return torch.where((length(y) == 0) & (r > 0), g, from_output(safe_unit)(y, r, g, h, dh))


RIGHT = [
    (check.network_count, parameter_count),
    (check.network_count, lambda n: torch.tensor(parameter_count(n))),
    (check.network_forward, right_forward),
    (check.network_forward, lambda w, b, h, x: RadialNetwork.from_parameters(w, b, h)(x)),
    (check.network_forward, forward_with(lambda z, h: h(length(z)) * z / length(z).clamp(min=1e-12))),
    (check.layer_centre, right_centre),
    (check.layer_centre, lambda w, b: tuple(t.numpy() if t.ndim == 0 else t for t in right_centre(w, b))),
    (check.rotated_network, turned()),
    (check.output_backward, from_output(safe_unit)),
]
WRONG = [
    (check.network_count, weights_only, "biases are missing"),
    (check.network_count, lambda n: weights_only(n) + sum(n[:-1]), "one for each of its outputs"),
    (check.network_count, lambda n: weights_only(n) + sum(n), "the input has no biases"),
    (check.network_count, lambda n: weights_only(n) + sum(n[1:-1]), "last layer is affine"),
    (check.network_count, lambda n: parameter_count(n[:-1]), "a layer is missing"),
    (check.network_count, lambda n: parameter_count(n) + 2, "have 305 parameters, not 307"),
    (check.network_count, lambda n: parameter_count(n) + 0.5, "not 305.5"),
    (check.network_count, lambda n: None, "not None"),
    (check.network_count, lambda n: 1 / 0, "raised ZeroDivisionError"),
    (check.network_forward, forward_with(lambda z, h: rescale(z, h), last=True), "no activation after it"),
    (check.network_forward, forward_with(lambda z, h: h(z)), "not on each coordinate"),
    (check.network_forward, forward_with(lambda z, h: h(length(z)) * z), "divide by"),
    (check.network_forward, forward_with(lambda z, h: h(z.norm()) * z / z.norm()), "own norm"),
    (check.network_forward, forward_with(lambda z, h: z), "activation is missing"),
    (check.network_forward, forward_with(lambda z, h: h(length(z)) * z / length(z)), "NaN"),
    (check.network_forward, forward_with(lambda z, h: 2 * rescale(z, h)), "wrong for widths"),
    (check.network_forward, forward_with(lambda z, h: h(length(z)) * z / (length(z) + 1e-6)), "epsilon"),
    (check.network_forward, forward_with(lambda z, h: h(length(z)) * z / (length(z) + 1e-6 * z.norm())), "epsilon"),
    (check.network_forward, forward_with(value_at_zero), r"whatever h\(0\) is"),
    (check.network_forward, without_biases, "biases are missing"),
    (check.network_forward, lambda w, b, h, x: right_forward(w, b, h, x)[0], "shape"),
    (check.network_forward, lambda w, b, h, x: right_forward(w, b, h, x.T), "RuntimeError"),
    (check.layer_centre, lambda w, b: (-right_centre(w, b)[0], right_centre(w, b)[1]), "sign of c"),
    (check.layer_centre, with_height(lambda w, b: b.norm()), r"not \|b\|"),
    (check.layer_centre, with_height(lambda w, b: right_centre(w, b)[1] ** 2), r"d\^2"),
    (check.layer_centre, with_height(lambda w, b: torch.tensor(7.0)), "smallest value"),
    (check.layer_centre, with_height(lambda w, b: b), "one number"),
    (check.layer_centre, by_squares(lambda square: square.abs().sqrt()), "squares cancel"),
    (check.layer_centre, by_squares(lambda square: (square - 1e-14).sqrt()), "squares cancel"),
    (check.layer_centre, normal_equations, "pseudo-inverse|LinAlgError|shortest|minimise"),
    (check.layer_centre, far_centre, "not the shortest"),
    (check.layer_centre, guarded_inverse, "does not minimise"),
    (check.layer_centre, lambda w, b: (right_centre(w, b)[0] / (w.norm() > 0), right_centre(w, b)[1]), "NaN"),
    (check.layer_centre, lambda w, b: right_centre(w, b)[0], "raised"),
    (check.rotated_network, turned(right=lambda q: q), "inverse is missing"),
    (check.rotated_network, turned(right=same), "must undo"),
    (check.rotated_network, turned(left=lambda q: q.mT, right=lambda q: q), r"Q\^\{-1\}"),
    (check.rotated_network, turned(last=False), "last weight"),
    (check.rotated_network, turned(left=lambda q: 2 * q), "weights are wrong"),
    (check.rotated_network, turned(bias=lambda q, b: b), "biases turn too"),
    (check.rotated_network, turned(bias=lambda q, b: q.mT @ b), "biases are wrong"),
    (check.rotated_network, in_place, "changes its arguments"),
    (check.rotated_network, without_copy_of_the_list, "changes its arguments"),
    (check.rotated_network, lambda q, w, b: (b, w), "weights first"),
    (check.rotated_network, lambda q, w, b: w, "raised"),
    (check.output_backward, from_output(unsafe_unit), "NaN"),
    (check.output_backward, from_output(over_radius), "not a unit vector"),
    (check.output_backward, from_output(no_unit), "radial part is missing"),
    (check.output_backward, lambda y, r, g, h, dh: 3 * g, "wrong where y is not 0"),
    (check.output_backward, from_output(safe_unit, slope_at_zero=False), "where r = 0"),
    (check.output_backward, guess_where_lost, "nothing comes back"),
    (check.output_backward, lambda y, r, g, h, dh: g[0], "one vector for each row"),
    (check.output_backward, lambda y, r, g, h, dh: g @ g, "RuntimeError"),
]


@pytest.mark.parametrize(("checker", "answer"), RIGHT)
def test_right_answers_pass(checker, answer):
    result = checker(answer)
    assert result, result
    assert repr(result).startswith("Right")


@pytest.mark.parametrize(("checker", "answer", "word"), WRONG)
def test_each_mistake_gets_its_hint(checker, answer, word):
    result = checker(answer)
    assert not result
    assert re.search(word, result.message), result.message
