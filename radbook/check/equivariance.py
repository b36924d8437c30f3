"""Answers to the exercises of the chapter "Norm nonlinearities in equivariant networks"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from radbook.check.verdict import PROFILES, Verdict, verdict
from radbook.rescaling import Profile, rescale


def block_rescaling(answer: Callable[[Tensor, Sequence[int], Profile], Tensor]) -> Verdict:
    """Check a function that rescales every block of a vector by its own norm (Exercise ex-block-rescale).

    Args:
        answer: ``answer(v, sizes, h)`` takes v of shape (..., n), the sizes of the blocks and a profile h; it returns
            the shape of v.

    Returns:
        The verdict. Hints know the norm of the whole vector, zero blocks, h in place of h(r)/r, and batches.
    """

    def hint() -> str | None:
        sizes = (1, 3, 2)
        v = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for h, _ in PROFILES.values():
            for u in (v[0, 0], v[0], v):
                got = answer(u.clone(), sizes, h)
                if got.shape != u.shape:
                    return f"v of shape {tuple(u.shape)} must give the same shape, got {tuple(got.shape)}"
                blocks = u.split(sizes, dim=-1)
                if torch.allclose(got, torch.cat([rescale(block, h) for block in blocks], dim=-1)):
                    continue
                if torch.allclose(got, rescale(u, h)):
                    return "each block has its own norm; yours is the norm of the whole vector"
                if torch.allclose(got, torch.cat([h(b.norm(dim=-1, keepdim=True)) * b for b in blocks], dim=-1)):
                    return "the factor of a block is h(r)/r, not h(r)"
                return "a block v_j of length r becomes h(r) v_j / r"
        v[0, 1, 1:4] = 0
        got = answer(v.clone(), sizes, lambda r: 1 / (1 + torch.exp(1 - r)))
        if not got.isfinite().all():
            return "a block that is zero gives NaN: do not divide by its norm"
        if got[0, 1, 1:4].abs().max() > 0:
            return "a block that is zero must stay zero"
        return None

    return verdict(hint, "every block by its own norm, and zero blocks stay zero.")


def block_widths(answer: Callable[[int, Sequence[Sequence[int]]], Sequence[Sequence[int]]]) -> Verdict:
    """Check a function that computes reduced block structures (Exercise ex-block-widths).

    Args:
        answer: ``answer(first, blocks)``, the input dimension and a tuple of block sizes for each hidden layer, returns
            the reduced sizes in the same form.

    Returns:
        The verdict. Hints know a layer taken as one block, full in place of reduced widths, and a forgotten bias.
    """

    def reduced(first: int, blocks: Sequence[Sequence[int]], bias: int = 1, full: bool = False) -> list[tuple]:
        before, result = first, []
        for sizes in blocks:
            result.append(tuple(min(k, before + bias) for k in sizes))
            before = sum(sizes if full else result[-1])
        return result

    def hint() -> str | None:
        cases = [(2, [(8, 8), (9, 3)]), (1, [(4, 4, 1), (20,), (6, 30)]), (3, [(1, 1, 1, 1)]), (5, [(2, 3), (9,)])]
        for first, blocks in cases:
            got, expected = [tuple(sizes) for sizes in answer(first, blocks)], reduced(first, blocks)
            if got == expected:
                continue
            if got == reduced(first, blocks, bias=0):
                return "the bias adds a dimension in every block: compare with the width before plus 1"
            if got == reduced(first, blocks, full=True):
                return "the second layer is fed by the reduced first layer: use its reduced width"
            if [sum(sizes) for sizes in got] == [sum(s) for s in reduced(first, [(sum(b),) for b in blocks])]:
                return "a layer is not one block: compress every block by itself"
            if [len(sizes) for sizes in got] != [len(sizes) for sizes in blocks]:
                return "every block keeps at least one dimension: return as many blocks as there were"
            return f"input {first} and blocks {blocks} reduce to {expected}, not to {got}"
        return None

    return verdict(hint, "a block keeps at most one dimension more than all that comes in.")


def block_tilt(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Check a reader's cylinder that contains one point of a finite set (Exercise ex-block-slab).

    Args:
        answer: ``answer(p, q, others)``, points of shapes (D,), (D,), (N, D), returns M of shape (D, D).

    Returns:
        The verdict. Hints know a slab across p - q, rows that do not vanish on p - q, and singular matrices.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(1)
        for d, n in ((2, 1), (2, 7), (3, 12), (5, 30), (3, 0)):
            p, q, *others = torch.randn(n + 2, d, generator=generator, dtype=torch.float64)
            points = torch.stack(others) if others else p.new_zeros(0, d)
            if n:  # next to the segment from p to q, so that only a tilted slab avoids it
                points[0] = (p + q) / 2 + 1e-3 * points[0]
            m = answer(p.clone(), q.clone(), points.clone())
            if m.shape != (d, d):
                return f"for points of R^{d} return a matrix of shape {(d, d)}, got {tuple(m.shape)}"
            first, rest = m[0], m[1:]
            value = float(first @ (p - q))
            if not abs(value) < 1:
                return f"the first row must take p - q below 1 in modulus, yours takes it to {value:.3g}"
            if n and float(((points - q) @ first).abs().min()) < 1:
                return "another point lies in the cylinder: add a large multiple of a functional that vanishes on p - q"
            if float((rest @ (p - q)).abs().max()) > 1e-9 * float(rest.norm() * (p - q).norm()):
                return "the other rows must vanish on p - q, or p does not arrive at q"
            scaled = m / m.norm(dim=1, keepdim=True)
            e = (p - q) / (p - q).norm()
            if (
                torch.linalg.matrix_rank(rest) < d - 1
                or abs(float(first @ e)) <= 1e-12 * float(first.norm())
                or not scaled.isfinite().all()
            ):
                return "M must be invertible: the first row may not vanish on p - q, the others must be independent"
        return None

    return verdict(hint, "the cylinder contains p and none of the others, and p goes to q.")


def block_complex(answer: Callable[[list[Tensor]], Sequence[Tensor]]) -> Verdict:
    """Check a compression of complex multiplicities (Exercise ex-block-complex).

    Args:
        answer: ``answer(weights)``, complex matrices W_i of shapes (m_i, m_{i-1}), returns the reduced ones.

    Returns:
        The verdict. Hints know widths with a bias, and a transpose in place of the conjugate transpose.
    """

    def network(weights: Sequence[Tensor], z: Tensor) -> Tensor:
        for w in weights[:-1]:
            z = z @ w.mT
            r = torch.linalg.vector_norm(z, dim=1, keepdim=True)
            z = r / (1 + r**2) * z
        return z @ weights[-1].mT

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(2)
        for widths in ((2, 7, 9, 3), (3, 2, 5, 1), (1, 4, 1), (2, 3)):
            weights = [torch.randn(n, m, generator=generator, dtype=torch.complex128) for m, n in pairwise(widths)]
            z = torch.randn(20, widths[0], generator=generator, dtype=torch.complex128)
            small = list(answer([w.clone() for w in weights]))
            if len(small) != len(weights):
                return f"return {len(weights)} matrices, one for each layer, got {len(small)}"
            got = (widths[0], *(w.shape[0] for w in small))
            expected = (*(min(widths[: i + 1]) for i in range(len(widths) - 1)), widths[-1])
            if not all(w.is_complex() for w in small):
                return "the reduced matrices must be complex, too"
            if got != expected:
                if any(a > b for a, b in zip(got, expected, strict=True)):
                    return f"there is no bias: {widths} reduces to {expected}, yours has {got}"
                return f"{widths} reduces to {expected}, yours has {got}"
            if not torch.allclose(network(small, z), network(weights, z)):
                return "the function has changed: is a transpose taken where the conjugate transpose is needed?"
        return None

    return verdict(hint, "unitary groups act, and complex QR compresses.")
