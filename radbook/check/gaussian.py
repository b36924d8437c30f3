"""Answers to the exercises of the chapter "Gaussian inputs"."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from radbook.check.verdict import Verdict, verdict
from radbook.gaussian import arc_cosine, arc_cosine_slope, population_loss, radial_mean, relu_covariance, relu_gram


def leaky_kernel(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check a reader's kernel of leaky nodes max(t, st) (Exercise ex-gaussian-leaky).

    Args:
        answer: ``answer(rho, s)``, rho of any shape and s <= 1, returns E psi(g) psi(g'), the shape of rho.

    Returns:
        The verdict. Hints know a wrong sign or a missing part of the cross terms, and a forgotten square of s.
    """

    def hint() -> str | None:
        rho = torch.linspace(-1, 1, 21, dtype=torch.float64).reshape(3, 7)
        here, there = arc_cosine(rho), arc_cosine(-rho)
        wrong = {  # factors of kappa(rho) and kappa(-rho)
            "the cross terms have a minus: max(t, st) = ReLU(t) - s ReLU(-t)": lambda s: (1 + s**2, 2 * s),
            "there are two cross terms, g with -g' and -g with g'": lambda s: (1 + s**2, -s),
            "the cross terms are missing: -s kappa(-rho), twice": lambda s: (1 + s**2, 0),
            "the covariance of g and -g' is -rho, so the cross terms need kappa(-rho)": lambda s: ((1 - s) ** 2, 0),
            "the part where both are negative has the factor s^2": lambda s: (1 + s, -2 * s),
            "where both are negative the product of the two leaky parts is missing": lambda s: (1, -2 * s),
        }
        failed, mistakes = None, set(wrong)
        for s in (0.2, -0.7, 1.0, -1.0, 0.0):
            got = answer(rho.clone(), s)
            if got.shape != rho.shape:
                return f"return the shape of rho, {tuple(rho.shape)}, got {tuple(got.shape)}"
            mistakes = {m for m in mistakes if _close(got, wrong[m](s)[0] * here + wrong[m](s)[1] * there)}
            if failed is None and not _close(got, (1 + s**2) * here - 2 * s * there):
                failed = f"wrong for s = {s:g}; psi is the identity for s = 1, where the answer is rho: try it"
        return None if failed is None else next((m for m in wrong if m in mistakes), failed)

    return verdict(hint, "two kernels, at rho and at -rho, make every leaky node.")


def nodes_needed(answer: Callable[[float, float, int, float], int]) -> Verdict:
    """Check a reader's width at which isotropic weights are close to their cone (Exercise ex-gaussian-nodes-needed).

    Args:
        answer: ``answer(mean, square, d, tolerance)``, with E|w|, E|w|^2, the dimension and the relative tolerance,
            returns N.

    Returns:
        The verdict. Hints know an unsquared tolerance, the forgotten norm of the limit, rounding down, factors 1/2
        and d, and N = 0.
    """

    def hint() -> str | None:
        failed, mistakes = None, None
        for mean, square, d, tolerance in (
            (1.0, 1.0, 2, 0.1),
            (3.0, 11.0, 5, 0.03),
            (2.0, 4.5, 1, 0.2),
            (1.0, 1.0, 3, 2.0),
        ):
            got = answer(mean, square, d, tolerance)
            c = radial_mean(d) * mean
            part = square / (2 * c**2 * d)
            right = max(1, math.ceil((part - 1) / tolerance**2))
            case = f"E|w| = {mean:g}, E|w|^2 = {square:g}, d = {d}, tolerance {tolerance:g}"
            if isinstance(got, bool) or int(got) != got:
                return f"return a whole number of nodes, got {got!r}"
            wrong = {
                "the tolerance is for the norm, the formula for its square": math.ceil((part - 1) / tolerance),
                "V is the second moment minus the square of the norm of the limit: that is forgotten": math.ceil(
                    part / tolerance**2
                ),
                "round up: with fewer nodes the error is too large": math.floor((part - 1) / tolerance**2),
                "half of the second moment: the squared norm of a node is |w|^2 / 2": math.ceil(
                    (2 * part - 1) / tolerance**2
                ),
                "the squared norm of c|x| is c^2 d": math.ceil((part * d - 1) / tolerance**2),
                "relative to the cone: divide V by c^2 d": math.ceil((part - 1) * c**2 * d / tolerance**2),
                "at least one node: N >= 1": math.ceil((part - 1) / tolerance**2),
            }
            if got == 0 and right == 1:
                return "at least one node: N >= 1"
            matching = {message for message, value in wrong.items() if max(1, value) == max(1, got)}
            mistakes = matching if mistakes is None else mistakes & matching
            if failed is None and got != right:
                failed = f"for {case} the answer is {right}, not {got}"
        return None if failed is None else next((m for m in wrong if m in (mistakes or ())), failed)

    return verdict(hint, "the width follows from the law's first two moments.")


def overlap_slope(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check a reader's gradient of E f(x) ReLU(<v, x>) in v (Exercise ex-gaussian-slope).

    Args:
        answer: ``answer(a, w, v)``, a of shape (N,), w of shape (N, d), v of shape (d,), returns the shape (d,).

    Returns:
        The verdict. Hints know forgotten lengths, output weights and terms, a wrong slope, and NaN where v is parallel
        to a node.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        a, w = _normal(generator, 7), _normal(generator, 7, 3)
        for case, v in (
            ("a random v", 3 * _normal(generator, 3)),
            ("v parallel to a node", 2.5 * w[0]),
            ("-v parallel", -w[1]),
        ):
            got = answer(a.clone(), w.clone(), v.clone())
            if got.shape != (3,):
                return f"return one gradient of shape (3,), got {tuple(got.shape)}"
            if got.isnan().any():
                return f"NaN for {case}: rounding pushes the cosine out of [-1, 1]; clamp it"
            r, t = w.norm(dim=1), v.norm()
            p, q = w / r[:, None], v / t
            rho = (p @ q).clamp(-1, 1)
            along, across = (1 - rho**2).sqrt() / (2 * math.pi), arc_cosine_slope(rho)
            flipped = torch.acos(rho) / (2 * math.pi)

            def total(along: Tensor, across: Tensor, weight: Tensor, p: Tensor = p, q: Tensor = q) -> Tensor:
                return weight @ (along[:, None] * q + across[:, None] * p)

            right = total(along, across, a * r)
            if _close(got, right):
                continue
            wrong = {
                "the term with sqrt(1 - rho^2) is missing: the length of v changes too": total(
                    0 * along, across, a * r
                ),
                "the term with kappa' is missing: the angle changes too": total(along, 0 * across, a * r),
                "the lengths |w_i| are missing": total(along, across, a),
                "the output weights a_i are missing": total(along, across, r),
                "that is |v| times the gradient: an inner product is linear in the length of v": t * right,
                "the gradient does not depend on |v|: you divided by it": right / t,
                "the slope is kappa' = (pi - arccos rho) / 2 pi, not arccos rho / 2 pi": total(along, flipped, a * r),
                "divide w_i by |w_i| in the second term, or leave out |w_i| before it": total(along, across * r, a * r),
                "the first term has the factor kappa - rho kappa', not kappa": total(arc_cosine(rho), across, a * r),
            }
            return next((m for m, value in wrong.items() if _close(got, value)), f"wrong for {case}")
        return None

    return verdict(hint, "one part along v, one along each node, also where they are parallel.")


def output_weights(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check a reader's best output weights for given nodes (Exercise ex-gaussian-output-weights).

    Args:
        answer: ``answer(a, w, v)``, a of shape (N,), w of shape (N, d), v of shape (M, d), returns b of shape (M,).

    Returns:
        The verdict. Only the loss counts. Hints know forgotten lengths and output weights, inner products of the
        vectors in place of the nodes, sampling, weights clamped at 0, and singular matrices.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(1)
        for case in ("five nodes", "two equal nodes", "one node"):
            a, w = _normal(generator, 9), _normal(generator, 9, 3)
            v = 2 * _normal(generator, 1 if case == "one node" else 5, 3)
            if case == "two equal nodes":
                v[1] = v[0]
            got = answer(a.clone(), w.clone(), v.clone())
            if got.shape != (len(v),):
                return f"return one weight for each of the {len(v)} nodes, shape ({len(v)},), got {tuple(got.shape)}"
            if not got.isfinite().all():
                return "your weights are not finite; with coinciding nodes the matrix is singular: use a pseudoinverse"
            gram, cross = relu_gram(v), relu_covariance(v, w)
            inverse = torch.linalg.pinv(gram, hermitian=True)
            best = inverse @ (cross @ a)
            least, loss = (float(population_loss(a, w, b, v)) for b in (best, got))
            size = float((a.abs() @ w.norm(dim=1) + got.abs() @ v.norm(dim=1)) ** 2)
            if loss <= least + 1e-11 * size:
                continue
            if case == "two equal nodes":
                return "right, but not when nodes coincide and the matrix is singular: use a pseudoinverse"
            r, s = w.norm(dim=1), v.norm(dim=1)
            wrong = {
                "the lengths count: the inner product of nodes is |w| |v| kappa(cosine)": torch.linalg.pinv(
                    gram / s / s[:, None]
                )
                @ (cross / r / s[:, None] @ a),
                "the output weights a belong in the right side K(v, w) a": inverse @ cross.sum(1),
                "nodes are not vectors: their inner products are those of relu_covariance": torch.linalg.pinv(v @ v.T)
                @ (v @ w.T @ a),
                "weights may have any sign: do not clamp them": best.clamp(min=0),
                "the right side is not the solution yet: solve K(v, v) b = K(v, w) a": cross @ a,
                "each node alone is not enough: nodes overlap, so all of K(v, v) counts": cross @ a / gram.diagonal(),
                "not half of it: the gradient is 2 K(v, v) b - 2 K(v, w) a": best / 2,
            }
            for message, value in wrong.items():
                if _close(got, value):
                    return message
            if loss <= least + 0.05 * float(a @ relu_covariance(w, w) @ a):
                return (
                    f"close, but not the minimum (loss {loss:.3g}, least {least:.3g}): did you sample? Use the kernel"
                )
            return f"for {case} the loss of your weights is {loss:.3g}, the least is {least:.3g}"
        return None

    return verdict(hint, "the least loss that these nodes allow, also when some coincide.")


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _close(got: Tensor, expected: Tensor) -> bool:
    return bool(torch.allclose(got.to(expected.dtype), expected, rtol=1e-9, atol=1e-10))
