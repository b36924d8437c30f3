"""Answers to the exercises of the chapter "Equiangular tight frames"."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from radbook.check.verdict import Verdict, verdict
from radbook.gaussian import arc_cosine, arc_cosine_slope, radial_mean, relu_gram


def simplex_frame(answer: Callable[[int, int], Tensor]) -> Verdict:
    """Check a reader's simplex frame (Exercise ex-etf-build).

    Args:
        answer: ``answer(m, d)`` returns the vectors, shape (m, d), or raises a ``ValueError`` if d < m - 1.

    Returns:
        The verdict. Hints know vectors that are not normalised, orthonormal vectors, regular polygons, a basis that
        is not centred, the wrong shape, one node, and a missing error.
    """

    def hint() -> str | None:
        for m, d in ((3, 2), (4, 3), (3, 5), (2, 1), (5, 4), (2, 4), (9, 8), (1, 3), (1, 1)):
            got, case = answer(m, d), f"m = {m}, d = {d}"
            if got.shape == (d, m) != (m, d):
                return f"{case}: the vectors are the rows; return the shape (m, d), not (d, m)"
            if got.shape == (m, m) and d == m - 1:
                return f"{case}: the corners e_j minus their mean span dimension m - 1 only: change the basis"
            if got.shape != (m, d):
                return f"{case}: return the shape {(m, d)}, got {tuple(got.shape)}"
            gram = (got @ got.mT).to(torch.float64)
            rounding = 1000 * torch.finfo(got.dtype).eps * m
            off = gram[~torch.eye(m, dtype=torch.bool)]
            if not got.isfinite().all() or (m == 1 and abs(float(gram) - 1) > rounding):
                return f"{case}: 1/(m - 1) does not exist for m = 1; any one unit vector is right"
            if (gram.diagonal() - 1).abs().max() > rounding:
                return f"{case}: the vectors must have length 1; divide by their lengths"
            if m > 1 and (off + 1 / (m - 1)).abs().max() > rounding:
                if off.abs().max() <= rounding:
                    return f"{case}: orthogonal vectors have inner products 0; subtract the mean"
                if m > 3 and torch.linalg.matrix_rank(got) == 2:
                    return f"{case}: a regular polygon is not equiangular for m > 3; use more dimensions"
                if float(got.sum(0).norm()) > rounding:
                    return f"{case}: the sum of the vectors is not 0; centre them before you normalise"
                return f"{case}: the inner products must all be -1/{m - 1}"
        for m, d in ((4, 2), (3, 1)):
            try:
                answer(m, d)
            except ValueError:
                continue
            return f"m = {m}, d = {d}: there is no simplex frame below dimension m - 1; raise a ValueError"
        return None

    return verdict(hint, "unit vectors, all inner products -1/(m - 1), and an error where there are none.")


def frame_excess(answer: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Check a reader's four terms of the excess loss (Exercise ex-etf-excess).

    Args:
        answer: ``answer(b, v, c)``, b of shape (M,), unit v of shape (M, d), returns the four terms, shape (4,).

    Returns:
        The verdict. Hints know a diagonal left in the last sum, half of the pairs, absolute weights, the forgotten c,
        T in place of T/M, a forgotten slope, and a term that is not squared.
    """

    def terms(b: Tensor, v: Tensor, c: float) -> tuple[Tensor, dict[tuple[int, str], Tensor]]:
        m, d = v.shape
        rho0 = torch.tensor(-1 / (m - 1), dtype=torch.float64)
        k0, slope, total = arc_cosine(rho0), arc_cosine_slope(rho0), b.sum()
        a, gap = 0.5 + (m - 1) * k0, relu_gram(v) - k0 - slope * (v @ v.mT - rho0)
        off, top = gap - torch.diag(gap.diagonal()), gap[0, 0]
        best = c * d * radial_mean(d) / a
        right = [
            a / m * (total - m * best) ** 2,
            top * (b - total / m).square().sum(),
            slope * (b @ v).square().sum(),
            b @ off @ b,
        ]
        wrong = {
            (0, "the first term compares T with M tau*, the sum of the best weights, not with tau*"): a
            / m
            * (total - best) ** 2,
            (0, "tau* is proportional to c"): a / m * (total - m * best / c) ** 2,
            (0, "the factor of the first term is A_M / M"): a * (total - m * best) ** 2,
            (1, "subtract the mean T / M of the weights, not T"): top * (b - total).square().sum(),
            (1, "the second term needs the factor B_M = Delta(1)"): (b - total / m).square().sum(),
            (1, "subtract the mean of the weights, T / M, not tau*"): top * (b - best).square().sum(),
            (2, "the third term needs the slope kappa'(rho_0)"): (b @ v).square().sum(),
            (2, "y is the sum of b_j v_j: the weights are missing"): slope * v.sum(0).square().sum(),
            (2, "|y| must be squared"): slope * (b @ v).norm(),
            (3, "the last sum is over j != k: take the diagonal out"): b @ gap @ b,
            (3, "the last sum counts each pair twice, as (j, k) and (k, j)"): b @ off @ b / 2,
            (3, "the identity holds for weights of any sign: no absolute values"): b.abs() @ off @ b.abs(),
            (3, "the weights b_j b_k are missing in the last sum"): off.sum(),
        }
        return torch.stack(right), wrong

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        for m, d in ((4, 3), (3, 5), (2, 1), (7, 2), (2, 3)):
            v = torch.randn(m, d, generator=generator, dtype=torch.float64)
            v, b = v / v.norm(dim=1, keepdim=True), torch.randn(m, generator=generator, dtype=torch.float64)
            right, wrong = terms(b, v, 0.6)
            got = answer(b.clone(), v.clone(), 0.6)
            if got.shape != (4,):
                return f"return four numbers in one tensor of shape (4,), got {tuple(got.shape)}"
            for i in range(4):
                if _close(got[i], right[i]):
                    continue
                for (place, text), value in wrong.items():
                    if place == i and _close(got[i], value):
                        return text
                return f"M = {m}, d = {d}: term {i + 1} is wrong"
        return None

    return verdict(hint, "four terms, for every number of nodes, in every dimension, for every sign.")


def graph_frame(answer: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Check a function that makes a balanced frame from a graph (Exercise ex-etf-graph).

    Args:
        answer: ``answer(adjacency, w)`` returns unit vectors, shape (M, d) with the least d, with inner products -w
            for neighbours and w for others, or raises a ``ValueError`` if they are no balanced equiangular tight frame.

    Returns:
        The verdict. Hints know the two signs exchanged, superfluous dimensions, and missing checks: no such vectors,
        not balanced, not tight.
    """

    def hint() -> str | None:
        triangular = _pairs_that_share(5)
        good = [
            ("the complete graph with 4 vertices", 1 - torch.eye(4), 1 / 3, 3),
            ("two vertices with an edge", 1 - torch.eye(2), 1.0, 1),
            ("a square, with w = 1", _octahedron(2), 1.0, 1),
            ("the ten pairs from five numbers", triangular, 1 / 3, 5),
            ("the 28 pairs from eight numbers, with pairs that share no number as neighbours", _disjoint(8), 1 / 3, 7),
        ]
        for name, adjacency, w, d in good:
            adjacency, m = adjacency.to(torch.float64), len(adjacency)
            expected = (w * (1 - 2 * adjacency)).fill_diagonal_(1)
            try:
                got = answer(adjacency.clone(), w)
            except ValueError:
                try:
                    answer(1 - torch.eye(m, dtype=torch.float64) - adjacency, w)
                except ValueError:
                    return f"{name}, w = {w:.3g}: no error is due here (allow for rounding)"
                return f"{name}, w = {w:.3g}: neighbours have the inner product -w, not w"
            if got.ndim != 2 or len(got) != m:
                return f"{name}: return {m} vectors as the rows of a tensor, got the shape {tuple(got.shape)}"
            gram = (got @ got.mT).to(torch.float64)
            if (gram - expected).abs().max() > 1e-6:
                if (gram - (w * (2 * adjacency - 1)).fill_diagonal_(1)).abs().max() <= 1e-6:
                    return f"{name}: neighbours have the inner product -w, not w"
                return f"{name}: the Gram matrix of your vectors is not the one asked for"
            if got.shape[1] != d:
                return f"{name}: dimension {d} is enough, yours is {got.shape[1]}; leave out the eigenvalues 0"
        cycle = torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0)
        bad = [
            ("the prism over a triangle, w = 1: no such vectors exist, the matrix has a negative eigenvalue",
             torch.kron(torch.eye(2), 1 - torch.eye(3)) + torch.kron(1 - torch.eye(2), torch.eye(3)), 1.0),
            ("the complete graph with 4 vertices, w = 0.2: the vectors exist, but their sum is not 0",
             1 - torch.eye(4), 0.2),
            ("the icosahedron's six diagonals, w = 1/sqrt(5): tight and equiangular, but the sum is not 0",
             torch.block_diag(cycle, torch.zeros(1, 1)), 1 / math.sqrt(5)),
            ("the octahedron's graph, w = 1/3: balanced, but the nonzero eigenvalues differ, so the frame is not tight",
             _octahedron(3), 1 / 3),
        ]  # fmt: skip
        for name, adjacency, w in bad:
            try:
                answer(adjacency.to(torch.float64), w)
            except ValueError:
                continue
            return f"{name}; raise a ValueError"
        return None

    return verdict(hint, "the simplex, the ten vectors in dimension 5, the 28 in dimension 7, and no others.")


def _close(x: Tensor, y: Tensor) -> bool:
    return bool((x - y).abs() <= 1e-9 * (1 + y.abs()))


def _pairs_that_share(n: int) -> Tensor:
    pairs = torch.combinations(torch.arange(n))
    return ((pairs[:, None, :, None] == pairs[None, :, None]).sum((2, 3)) == 1).to(torch.float64)


def _disjoint(n: int) -> Tensor:
    return 1 - torch.eye(n * (n - 1) // 2, dtype=torch.float64) - _pairs_that_share(n)


def _octahedron(n: int) -> Tensor:
    """The graph of n pairs of vertices in which all but the pairs are neighbours; a square for n = 2."""
    return 1 - torch.block_diag(*[torch.ones(2, 2)] * n)
