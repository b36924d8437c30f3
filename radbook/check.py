"""Answer checkers for the exercises: each takes a reader's answer and says whether it is right, with a hint if not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from radbook.compression import Compression, qr_compress, reduced_widths
from radbook.network import RadialNetwork, parameter_count
from radbook.rescaling import Profile, Squash, jacobian, rescale
from radbook.symmetry import random_rotations


@dataclass(frozen=True)
class Verdict:
    """The result of a check: true when the answer is right; its text holds a hint when it is not."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"Right: {self.message}" if self.passed else f"Not yet. Hint: {self.message}"


def verdict(answer: Callable[[], str | None], praise: str) -> Verdict:
    """Run a check and make its result, or the error it raised, a verdict.

    Args:
        answer: returns a hint, or None when the reader's answer is right.
        praise: what to say when it is right.
    """
    try:
        hint = answer()
    except Exception as error:
        return Verdict(False, f"your answer raised {type(error).__name__}: {error}")
    return Verdict(True, praise) if hint is None else Verdict(False, hint)


# Chapter "Rescaling activations"

_PROFILES: dict[str, tuple[Profile, Profile]] = {  # h and h'
    "squashing": (lambda r: r**2 / (1 + r**2), lambda r: 2 * r / (1 + r**2) ** 2),
    "-2 tanh": (lambda r: -2 * torch.tanh(r), lambda r: -2 / torch.cosh(r) ** 2),
}


def recovered_profile(answer: Callable[[Profile, int, Tensor], Tensor]) -> Verdict:
    """Check a function that reads the profile off an equivariant map (Exercise ex-recover-profile).

    Args:
        answer: ``answer(F, n, r)`` returns h(r), shape (m,), for radii r of shape (m,) and a map F of R^n that
            commutes with O(n).

    Returns:
        The verdict. Hints know lost signs, r h(r) or the scaling factor in place of h, a division by 0, a wrong shape
        or dtype.
    """

    def hint() -> str | None:
        r = torch.linspace(0, 6, 31, dtype=torch.float64)  # sin changes its sign here
        for h in (torch.sin, *(h for h, _ in _PROFILES.values())):
            for n in (1, 2, 5):
                got = answer(lambda v, h=h: rescale(v, h), n, r)
                if not isinstance(got, Tensor) or got.shape != r.shape:
                    shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
                    return f"return a tensor with one value for each radius, shape {tuple(r.shape)}; got {shape}"
                if got.dtype != r.dtype:
                    return f"keep the dtype of r: {r.dtype} became {got.dtype}"
                if torch.allclose(got, h(r), rtol=1e-12, atol=1e-12):
                    continue
                if torch.allclose(got.abs(), h(r).abs(), rtol=1e-12, atol=1e-12):
                    return "right up to signs: a norm loses the sign, and a profile may be negative"
                if torch.allclose(got, r * h(r), rtol=1e-12, atol=1e-12):
                    return "you return r h(r): take the inner product with a unit vector"
                if torch.allclose(got[1:], h(r)[1:] / r[1:], rtol=1e-12, atol=1e-12):
                    return "you return the scaling factor h(r)/r; the profile is h(r) itself"
                if torch.allclose(got[1:], h(r)[1:], rtol=1e-12, atol=1e-12):
                    return "wrong at r = 0 only, where h(0) = 0: do not divide by r"
                return f"wrong for n = {n}: evaluate F along one ray, F(r u) = h(r) u with |u| = 1"
        return None

    return verdict(hint, "one ray holds the whole map.")


def zero_safe_rescale(answer: Callable[[Tensor, Profile, float], Tensor]) -> Verdict:
    """Check a reader's rescaling activation, above all at the origin (Exercise ex-zero-safe).

    Args:
        answer: ``answer(v, h, slope)`` returns rho(v) for v of shape (..., n), a profile h and its slope h'(0).

    Returns:
        The verdict. Hints know epsilons, thresholds, values that depend on the batch, NaN in value or derivative at
        0 or next to it, a zero entry taken for a zero vector, a detached norm, and a call of h at 0.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        generic = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
        single = answer(generic.float(), *_profile_and_slope("squashing"))
        if single.shape != generic.shape or single.dtype != torch.float32:
            return f"keep shape and dtype: {tuple(generic.shape)}, float32 became {tuple(single.shape)}, {single.dtype}"
        for name in _PROFILES:
            profile, slope = _profile_and_slope(name)
            batch = generic[0].clone()
            batch[2] = 0
            expected = rescale(generic, profile, slope)
            error = ((answer(generic, profile, slope) - expected).norm(dim=-1) / expected.norm(dim=-1)).max()
            if not error < 1e-2:
                return "wrong far from zero: rho(v) = h(|v|) v / |v|, the norm along the last dimension"
            if error > 1e-12:
                return f"all values are off by a factor of about 1 + {error:.0e}: is an epsilon added to the norm?"
            value = answer(batch, profile, slope)
            if not value[2].isfinite().all():
                return "the value at v = 0 is NaN or infinite: 0/0 must not be computed"
            if value[2].any():
                return "the value at v = 0 must be exactly 0"
            others = [0, 1, 3, 4, 5]
            if not torch.allclose(value[others], answer(batch[others], profile, slope), rtol=1e-12, atol=0):
                return "a zero vector changes the other rows: each vector must be treated alone, not with its batch"
            small = 1e-100 * generic[0]
            if not torch.allclose(answer(small, profile, slope), rescale(small, profile, slope), rtol=1e-12, atol=0):
                return (
                    "wrong for vectors of length 1e-100: an epsilon or a threshold is felt there; only v = 0 is special"
                )
            point = batch.clone().requires_grad_()
            derivative = _row_jacobians(answer(point, profile, slope), point)[2]
            if not derivative.isfinite().all():
                return (
                    "the derivative at v = 0 is NaN: torch.where differentiates both branches, so make the input of "
                    "the unused one harmless before you divide"
                )
            if not torch.allclose(derivative, slope * torch.eye(3, dtype=torch.float64), rtol=1e-12, atol=0):
                advice = "" if derivative.any() else "; a constant 0 has derivative 0: multiply v by `slope` there"
                return f"the derivative at v = 0 must be h'(0) I, here with h'(0) = {slope:g}{advice}"

            def h(r: Tensor, profile: Profile = profile) -> Tensor:
                if not (r > 0).all():
                    raise ValueError("h was called at a radius that is not positive")
                return profile(r)

            for n in (1, 2, 5):
                axes = torch.eye(n, dtype=torch.float64)
                v = torch.cat([axes.cumsum(0), -2 * axes, 0 * axes[:1]])
                right = torch.isclose(answer(v, h, slope), rescale(v, profile, slope), rtol=1e-12, atol=0)
                if not right[n - 1].all():
                    return f"wrong for n = {n}: the dimension is v.shape[-1], whatever it is"
                if not right.all():
                    return "wrong for vectors with some zero entries: only v = 0, all entries zero, is special"
            point = generic[0].clone().requires_grad_()
            derivative = _row_jacobians(answer(point, h, slope), point)
            if not torch.allclose(derivative, jacobian(generic[0], profile, slope), rtol=1e-10, atol=1e-12):
                return "the derivative away from 0 is wrong: was the norm or the factor detached?"
            if not answer(1e-200 * generic[0], profile, slope).isfinite().all():
                return "NaN at length 1e-200, where the squares underflow: the norm can be 0 though v is not"
        return None

    return verdict(hint, "exact value and derivative at 0, no epsilon, every vector treated alone.")


def jacobian_product(answer: Callable[[Tensor, Tensor, Profile, Profile], Tensor]) -> Verdict:
    """Check a product with the Jacobian of a rescaling that forms no matrix (Exercise ex-jacobian-product).

    Args:
        answer: ``answer(v, g, h, dh)`` returns the products D rho(v) g, shape (m, n), for batches v and g of that
            shape, a profile h and its derivative dh.

    Returns:
        The verdict. Hints know exchanged factors, a missing radial part, NaN at 0, and the work of an n x n matrix.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        v, g = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64).unbind()
        v[2] = 0
        for h, dh in _PROFILES.values():
            got = answer(v, g, h, dh)
            if got.shape != v.shape:
                return f"return one vector for each row, shape {tuple(v.shape)}; got {tuple(got.shape)}"
            if not got[2].isfinite().all():
                return "the row with v = 0 gives NaN: replace the zero norm before you divide"
            zero = torch.tensor(0.0, dtype=torch.float64)
            expected = torch.einsum("mij,mj->mi", jacobian(v, h, float(dh(zero))), g)
            right = torch.isclose(got, expected, rtol=1e-11, atol=1e-11).all(dim=1)
            if right.all():
                continue
            r = v.norm(dim=1, keepdim=True)
            away, u = r[:, 0] > 0, v / r
            along, across = dh(r) * g, h(r) / r * g
            radial = (u * g).sum(dim=1, keepdim=True) * u
            if right[away].all():
                return "wrong at v = 0 only: the derivative there is h'(0) I"
            if torch.allclose(got[away], (along + (h(r) / r - dh(r)) * radial)[away]):
                return "the factors are exchanged: h' belongs to the direction of v, h(r)/r to the directions across"
            if torch.allclose(got[away], across[away]):
                return "the radial part is missing: lambda g holds only for g across v; add (h' - lambda) <u, g> u"
            return "wrong away from zero: split g into its part along u = v/|v| and the rest"
        m, n = 2, 512
        with _Work() as work:
            answer(torch.ones(m, n), torch.ones(m, n), *_PROFILES["squashing"])
        if work.entries > 100 * m * n:
            return (
                f"right, but for m = {m}, n = {n} your tensors had {work.entries} entries in all: O(mn) suffice, "
                "without an n x n matrix, whole or column by column"
            )
        return None

    return verdict(hint, "the right product in O(mn) operations.")


def _profile_and_slope(name: str) -> tuple[Profile, float]:
    h, dh = _PROFILES[name]
    return h, float(dh(torch.tensor(0.0, dtype=torch.float64)))


def _row_jacobians(value: Tensor, point: Tensor) -> Tensor:
    """Derivatives, shape (m, n, n), of each row of value by the same row of point; both of shape (m, n)."""
    rows = [torch.autograd.grad(column.sum(), point, retain_graph=True)[0] for column in value.T]
    return torch.stack(rows, dim=1)


class _Work(TorchFunctionMode):
    """Adds up the numbers of entries of all tensors that are computed in its context."""

    entries = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple) else (result,):
            if isinstance(item, Tensor):
                self.entries += item.numel()
        return result


# Chapter "Radial neural networks"


def network_count(answer: Callable[[tuple[int, ...]], int]) -> Verdict:
    """Check a function that counts the parameters of a radial network (Exercise ex-count).

    Args:
        answer: ``answer(widths)`` returns the number of weights and biases.

    Returns:
        The verdict. Hints know forgotten biases, biases of the wrong layers, and a forgotten layer.
    """

    def hint() -> str | None:
        for n in ((1, 8, 16, 8, 1), (4, 9, 3, 2), (5, 2)):
            got, layers = answer(n), list(pairwise(n))
            weights = sum(a * b for a, b in layers)
            if got == parameter_count(n):
                continue
            if got == weights:
                return "the biases are missing: layer i has n_i of them"
            if got == weights + sum(n[:-1]):
                return "layer i has n_i biases, one for each of its outputs, not n_{i-1}"
            if got == weights + sum(n):
                return "the input has no biases: they start with layer 1"
            if got == weights + sum(n[1:-1]):
                return "the last layer is affine: it has biases too"
            if got in (parameter_count(n) - n[-1] * (n[-2] + 1), parameter_count(n) - n[1] * (n[0] + 1)):
                return "a layer is missing: widths (n_0, ..., n_L) have L affine maps"
            return f"widths {n} have {parameter_count(n)} parameters, not {got}"
        return None

    return verdict(hint, "n_i rows of n_{i-1} + 1 entries in every layer.")


def network_forward(answer: Callable[[list[Tensor], list[Tensor], Profile, Tensor], Tensor]) -> Verdict:
    """Check a forward pass written by hand (Exercise ex-forward).

    Args:
        answer: ``answer(weights, biases, h, x)`` returns F(x), shape (N, n_L), for x of shape (N, n_0) and a profile h.

    Returns:
        The verdict. Hints know NaN or h(0) at z = 0, a pointwise profile, a missing division by |z|, a norm of the
        whole batch, an epsilon in the norm, a forgotten bias, and an activation after the last layer.
    """

    def hint() -> str | None:
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x[2] = 0
        for h in (*(h for h, _ in _PROFILES.values()), torch.cos):  # cos(0) = 1 must not show at z = 0
            for n in ((3, 5, 4, 2), (3, 2)):
                weights, biases = _random_parameters(n)
                if len(n) > 2:
                    biases[0].zero_()
                got = answer([w.clone() for w in weights], [b.clone() for b in biases], h, x.clone())
                if got.shape != (6, 2):
                    return f"an input of shape (6, 3) must give an output of shape (6, 2), got {tuple(got.shape)}"
                expected = _forward(weights, biases, lambda z, h=h: rescale(z, h), x)
                if torch.allclose(got, expected, rtol=1e-10, atol=1e-10):
                    continue
                if not got.isfinite().all():
                    return "NaN where a pre-activation z_i is 0: the value there is 0, without dividing by 0"
                if torch.allclose(got, expected, rtol=1e-3, atol=1e-3):
                    return (
                        "nearly right: an epsilon in the norm, or single precision? Treat |z| = 0 apart, by torch.where"
                    )
                if torch.allclose(got[x.any(dim=1)], expected[x.any(dim=1)], rtol=1e-10, atol=1e-10):
                    return "wrong where a pre-activation z_i is 0: the value there is 0, whatever h(0) is"
                for activation, last, text in (
                    (lambda z, h=h: rescale(z, h), True, "the last layer is affine: no activation after it"),
                    (lambda z, h=h: h(z), False, "h acts on the length |z|, not on each coordinate"),
                    (
                        lambda z, h=h: h(z.norm(dim=1, keepdim=True)) * z,
                        False,
                        "divide by |z|: rho(z) = h(|z|) z / |z|",
                    ),
                    (lambda z, h=h: h(z.norm()) * z / z.norm(), False, "each row has its own norm: norm(dim=-1)"),
                    (lambda z: z, False, "the activation is missing"),
                ):
                    if torch.allclose(got, _forward(weights, biases, activation, x, last)):
                        return text
                no_biases = [torch.zeros_like(b) for b in biases]
                if torch.allclose(got, _forward(weights, no_biases, lambda z, h=h: rescale(z, h), x)):
                    return "the biases are missing: z_i = W_i F_{i-1}(x) + b_i"
                return f"wrong for widths {n}: z_i = W_i F_{{i-1}} + b_i, F_i = h(|z_i|) z_i / |z_i|, and F_L = z_L"
        return None

    return verdict(hint, "the definition, for every profile, also where a pre-activation vanishes.")


def layer_centre(answer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Check the centre and height of the radial unit of a layer (Exercise ex-centre).

    Args:
        answer: ``answer(W, b)`` returns the shortest c, shape (n,), and d >= 0 with
            |Wx + b|^2 = |W(x - c)|^2 + d^2 for all x; W of shape (m, n), b of shape (m,).

    Returns:
        The verdict. Hints know the sign of c, |b| or d^2 in place of d, a d lost to rounding, and a centre that is not
        the shortest.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        for m, n, rank in ((6, 3, 3), (3, 3, 3), (2, 5, 2), (6, 4, 2), (4, 3, 0)):
            w = torch.randn(m, rank, generator=generator, dtype=torch.float64)
            w = w @ torch.randn(rank, n, generator=generator, dtype=torch.float64)
            b = torch.randn(m, generator=generator, dtype=torch.float64)
            case = f"for a {m} x {n} matrix W of rank {rank}"
            got, height = answer(w.clone(), b.clone())
            height = torch.as_tensor(height, dtype=torch.float64)
            centre = -torch.linalg.pinv(w) @ b
            expected = (b + w @ centre).norm()
            if got.shape != (n,) or height.numel() != 1:
                return f"{case} c has shape {(n,)} and d is one number, got {tuple(got.shape)}, {tuple(height.shape)}"
            cancelled = f"{case} squares cancel in your d: take the norm of e = b + W c"
            if got.isfinite().all() and not height.isfinite().all():
                return cancelled
            if not got.isfinite().all():
                return f"{case} NaN or infinite numbers come back: the pseudo-inverse needs no invertible W^T W"
            if not torch.allclose(w @ got, w @ centre, rtol=0, atol=1e-9):
                if torch.allclose(w @ got, -w @ centre, rtol=0, atol=1e-9):
                    return "the sign of c: W x + b = W (x - c) + e, so W c is minus the part of b in the image of W"
                return f"{case} c does not minimise |Wx + b|"
            if not torch.allclose(got, centre, rtol=0, atol=1e-9):
                return f"{case} your c is a centre, but not the shortest: remove its part in the kernel of W"
            if not torch.allclose(height, expected, rtol=0, atol=1e-9):
                if torch.allclose(height, expected**2, rtol=0, atol=1e-9):
                    return "that is d^2, not d"
                if torch.allclose(height, b.norm(), rtol=0, atol=1e-9):
                    return "d is not |b|: only the part of b outside the image of W counts"
                if torch.allclose(height, expected, rtol=0, atol=1e-6):
                    return cancelled
                return f"{case} the smallest value of |Wx + b| is {float(expected):.1e}, your d is {float(height):.1e}"
        return None

    return verdict(hint, "the shortest centre, for every shape and rank.")


def rotated_network(
    answer: Callable[[list[Tensor], list[Tensor], list[Tensor]], tuple[Sequence[Tensor], Sequence[Tensor]]],
) -> Verdict:
    """Check a reader's orthogonal action on parameters (Exercise ex-rotate).

    Args:
        answer: ``answer([Q_1, ..., Q_{L-1}], weights, biases)`` returns the weights and the biases of Q . (W, b).

    Returns:
        The verdict. Hints know changed arguments, a forgotten or wrong inverse, and biases that do not turn.
    """

    def hint() -> str | None:
        for n in ((3, 5, 4, 2), (2, 6, 6, 6, 1), (3, 2)):
            weights, biases = _random_parameters(n)
            q = random_rotations(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            arguments = [t.clone() for t in q], [w.clone() for w in weights], [b.clone() for b in biases]
            got_weights, got_biases = answer(*arguments)
            before, after = (*q, *weights, *biases), (*arguments[0], *arguments[1], *arguments[2])
            if any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(before, after, strict=True)):
                return "your function changes its arguments: return new tensors"
            if [t.shape for t in (*got_weights, *got_biases)] != [t.shape for t in (*weights, *biases)]:
                return f"widths {n}: the lists must hold tensors of the same shapes as before, weights first"
            left, right = [*q, torch.eye(n[-1]).double()], [torch.eye(n[0]).double(), *q]
            triples = list(zip(left, weights, right, strict=True))
            if not _all_close(got_weights, [a @ w @ b.mT for a, w, b in triples]):
                if _all_close(got_weights, [a @ w @ b for a, w, b in triples]):
                    return "the inverse is missing: Q_i W_i Q_{i-1}^{-1}"
                if _all_close(got_weights, [a @ w for a, w, _ in triples]):
                    return "the next layer must undo the rotation: multiply W_i by Q_{i-1}^{-1} from the right"
                if _all_close(got_weights, [a.mT @ w @ b for a, w, b in triples]):
                    return "that is the action of Q^{-1}: Q_i stands on the left, the inverse of Q_{i-1} on the right"
                if _all_close(got_weights[:-1], [a @ w @ b.mT for a, w, b in triples[:-1]]):
                    return "the last weight is wrong: Q_L = I, but W_L is still multiplied by Q_{L-1}^{-1}"
                return f"the weights are wrong for widths {n}"
            if not _all_close(got_biases, [a @ b for a, b in zip(left, biases, strict=True)]):
                if _all_close(got_biases, biases):
                    return "the biases turn too: Q_i b_i"
                return "the biases are wrong: Q_i b_i, and b_L stays as it is"
        return None

    return verdict(hint, "every hidden layer turns, the function stays.")


def output_backward(answer: Callable[[Tensor, Tensor, Tensor, Profile, Profile], Tensor]) -> Verdict:
    """Check a backward pass through a rescaling that knows only its output and radius (Exercise ex-backward-memory).

    Args:
        answer: ``answer(y, r, g, h, dh)`` returns D rho(z) g, shape (N, n), from y = rho(z) and g, shape (N, n), and
            r = |z|, shape (N, 1), for a profile h and its derivative dh.

    Returns:
        The verdict. Hints know NaN at 0, the confusion of |y| with r, and a missing radial part.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        z, g = torch.randn(2, 8, 4, generator=generator, dtype=torch.float64).unbind()
        z[3], z[5] = 0, 0.1 * z[5]
        r = z.norm(dim=1, keepdim=True)
        shifted: tuple[Profile, Profile] = (lambda r: torch.relu(r - 1), lambda r: (r > 1).to(r))
        for h, dh in (*_PROFILES.values(), shifted):
            y = rescale(z, h)
            zero = torch.zeros((), dtype=torch.float64)
            expected = torch.einsum("mij,mj->mi", jacobian(z, h, float(dh(zero))), g)
            got = answer(y.clone(), r.clone(), g.clone(), h, dh)
            if got.shape != g.shape:
                return f"return one vector for each row, shape {tuple(g.shape)}; got {tuple(got.shape)}"
            right = torch.isclose(got, expected, rtol=1e-10, atol=1e-10).all(dim=1)
            if right.all():
                continue
            if not got.isfinite().all():
                return "NaN: do not divide by r or by |y| where they are 0, not even inside torch.where"
            away = y.norm(dim=1) > 0
            factor, u = h(r) / r, y / r
            across = factor * g
            wrong_unit = across + (dh(r) - factor) * (u * g).sum(dim=1, keepdim=True) * u
            if not right[away].all():
                if torch.allclose(got[away], wrong_unit[away]):
                    return "y / r is not a unit vector: y has the length |h(r)|, so divide by |y|"
                if torch.allclose(got[away], across[away]):
                    return "the radial part is missing: add (h' - lambda) <u, g> u with u = y/|y|"
                return "wrong where y is not 0: lambda g + (h' - lambda) <u, g> u with lambda = h(r)/r, u = y/|y|"
            if not right[3]:
                return "wrong where r = 0: the derivative there is h'(0) I"
            return "wrong where y = 0 but r > 0: there lambda = h' = 0, so nothing comes back"
        return None

    return verdict(hint, "the output and one number per row are enough.")


def _random_parameters(n: tuple[int, ...]) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(b, a, generator=generator, dtype=torch.float64) for a, b in pairwise(n)]
    return weights, [torch.randn(b, generator=generator, dtype=torch.float64) for b in n[1:]]


def _forward(
    weights: list[Tensor], biases: list[Tensor], activation: Callable[[Tensor], Tensor], x: Tensor, last: bool = False
) -> Tensor:
    for i, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        z = x @ w.mT + b
        x = activation(z) if i < len(weights) or last else z
    return x


def _all_close(got: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=0, atol=1e-10) for a, b in zip(got, expected, strict=True))


# Chapter "QR compression"


def qr_widths(answer: Callable[[tuple[int, ...]], tuple[Sequence[int], int, int]]) -> Verdict:
    """Check a function that counts what QR compression saves (Exercise ex-qr-widths).

    Args:
        answer: ``answer(widths)`` returns the reduced widths and the parameter counts of the full and the reduced
            network.

    Returns:
        The verdict. Hints know a recursion on the full widths, a forgotten bias, and a reduced output layer.
    """

    def hint() -> str | None:
        for n in ((1, 8, 16, 8, 1), (4, 9, 3, 9, 9, 2), (1, 3, 3, 9), (3, 2), (5, 2, 2, 1)):
            got = answer(n)
            if len(got) != 3:
                return f"return three things: reduced widths, full count, reduced count; got {len(got)}"
            reduced, expected = tuple(got[0]), reduced_widths(n)
            if reduced != expected:
                if len(reduced) != len(n):
                    return f"the widths {n} have {len(n)} entries, yours {reduced} have {len(reduced)}"
                if reduced[0] != n[0] or reduced[-1] != n[-1]:
                    return f"input and output keep their widths, {n[0]} and {n[-1]}; yours are {reduced}"
                if reduced[1:-1] == tuple(min(b, a + 1) for a, b in pairwise(n[:-1])):
                    return "compare n_i with the reduced width of the layer before plus 1, not with n_{i-1} + 1"
                if reduced[1:-1] == tuple(min(n[: i + 1]) for i in range(1, len(n) - 1)):
                    return "each bias may add one dimension: n_{i-1}^red + 1"
                if reduced[1:-1] == tuple(n[0] + i for i in range(1, len(n) - 1)):
                    return "a layer cannot become wider than it was: take the minimum with n_i"
                return f"{n} reduces to {expected}, not to {reduced}"
            counts = (parameter_count(n), parameter_count(expected))
            if tuple(got[1:]) != counts:
                if tuple(got[1:]) == tuple(sum(a * b for a, b in pairwise(w)) for w in (n, expected)):
                    return "the biases are parameters too: n_i (n_{i-1} + 1) for each layer"
                if tuple(got[1:]) == counts[::-1]:
                    return "first the count of the full network, then that of the reduced one"
                return f"the networks of widths {n} and {expected} have {counts} parameters, not {tuple(got[1:])}"
        return None

    return verdict(hint, "the widths alone decide what is saved.")


def qr_layer(answer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Verdict:
    """Check a reader's compression of one hidden layer (Exercise ex-qr-layer).

    Args:
        answer: ``answer(W, b)``, W of shape (n, m) and b of shape (n,), returns V of shape (n, k), the reduced weight
            of shape (k, m) and the reduced bias of shape (k,), k = min(n, m + 1).

    Returns:
        The verdict. Hints know the full Q, a forgotten or misplaced bias, lost signs, and zero biases.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        generic = torch.randn(7, 4, generator=generator, dtype=torch.float64)
        no_bias, no_rank = generic.clone(), generic.clone()
        no_bias[:, 0] = 0
        no_rank[:, 2:] = generic[:, 1:2]
        cases = {
            "random parameters": generic,
            "n <= m": generic.T,
            "single precision": generic.float(),
            "b = 0": no_bias,
            "a W of rank one": no_rank,
            "W = 0 and b = 0": torch.zeros_like(generic),
        }
        for name, extended in cases.items():
            b, weight = extended[:, 0], extended[:, 1:]
            (n, m), tolerance = weight.shape, 100 * torch.finfo(weight.dtype).eps
            k = min(n, m + 1)
            v, w_red, b_red = answer(weight.clone(), b.clone())
            if v.shape != (n, k):
                if v.shape == (n, n):
                    return f"V is square, the full Q: only the first min(n, m + 1) = {k} columns are needed"
                if v.shape == (n, min(n, m)):
                    return "V has too few columns: factor the extended matrix [b W], with the bias as a column"
                return f"for W of shape {(n, m)} V must have shape {(n, k)}, got {tuple(v.shape)}"
            if w_red.shape != (k, m) or b_red.shape != (k,):
                shapes = f"{tuple(w_red.shape)} and {tuple(b_red.shape)}"
                return f"the reduced weight and bias must have shapes {(k, m)} and {(k,)}, got {shapes}"
            if {v.dtype, w_red.dtype, b_red.dtype} != {weight.dtype}:
                return f"keep the dtype of W, {weight.dtype}"
            if not all(t.isfinite().all() for t in (v, w_red, b_red)):
                return f"NaN or infinite entries for {name}: was something divided by a zero norm or diagonal entry?"
            if not torch.allclose(v.mT @ v, torch.eye(k, dtype=v.dtype), rtol=0, atol=tolerance):
                if (v.norm(dim=0) < 0.5).any():
                    return f"for {name} a column of V is zero: is sign(0) = 0 in a sign correction?"
                return f"for {name} the columns of V are not orthonormal"
            product = v @ torch.column_stack([b_red, w_red])
            if not torch.allclose(product, extended, rtol=0, atol=tolerance):
                if torch.allclose(product, torch.column_stack([weight, b]), rtol=0, atol=tolerance):
                    return "the bias stands last in the matrix you factor, but is read off the first column of R"
                return f"for {name} V [b_red W_red] is not [b W]"
        return None

    return verdict(hint, "thin, orthonormal, and right for zero biases and every rank.")


def qr_layer_errors(answer: Callable[[RadialNetwork, Compression, Tensor], list[float]]) -> Verdict:
    """Check a function that verifies a compression layer by layer (Exercise ex-qr-verify).

    Args:
        answer: ``answer(network, compression, x)`` returns max |F_i(x) - V_i F_i^red(x)| for the hidden layers.

    Returns:
        The verdict. Hints know signed differences, projections in place of embeddings, and the wrong layers.
    """

    @torch.no_grad()
    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        network = RadialNetwork((3, 4, 9, 12, 2), Squash(), generator=generator, dtype=torch.float64)
        x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
        right = qr_compress(network)
        linears = right.network.linears
        turned = right.network.with_parameters(
            [-linear.weight.detach() for linear in linears], [1 - linear.bias.detach() for linear in linears]
        )
        for compression in (right, Compression(turned, right.isometries)):
            got = [float(error) for error in answer(network, compression, x.clone())]
            full, reduced = network.partial_maps(x)[1:-1], compression.network.partial_maps(x)[1:-1]
            if len(got) != len(full):
                return f"return one number for each of the {len(full)} hidden layers, got {len(got)}"
            pairs = [
                (f, f if v is None else f @ v, u if v is None else u @ v.mT, u)
                for v, f, u in zip(compression.isometries, full, reduced, strict=True)
            ]
            differences = [f - embedded for f, _, embedded, _ in pairs]
            if _close(got, [float(d.abs().max()) for d in differences]):
                continue
            if _close(got, [float(d.max()) for d in differences]):
                return "take absolute values before the maximum: a signed difference hides negative errors"
            if _close(got, [float(d.abs().mean()) for d in differences]):
                return "take the largest entry, not the mean"
            if _close(got, [float((projected - u).abs().max()) for _, projected, _, u in pairs]):
                return "embed the reduced vectors by V; projecting F_i by V^T hides what leaves the subspace"
            return "wrong for a compression with a planted fault: compare F_i with u V^T, row by row, u = F_i^red(x)"
        return None

    return verdict(hint, "every layer is verified, and a faulty compression is seen.")


def qr_without_biases(answer: Callable[[list[Tensor]], list[Tensor]]) -> Verdict:
    """Check a reader's compression of a network without biases (Exercise ex-qr-bias-free-code).

    Args:
        answer: ``answer([W_1, ..., W_L])`` returns the reduced weights.

    Returns:
        The verdict. Hints know a superfluous bias column, an unreduced width, a forgotten V, and lost signs.
    """

    def hint() -> str | None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20, 3, generator=generator, dtype=torch.float64)
        shapes = ((3, 8, 8, 2), (3, 2, 9, 4, 5), (3, 2, 2), (3, 9, 7, 2), (3, 2), (3, 8, 8, 2))
        for case, n in enumerate(shapes):
            weights = [torch.randn(b, a, generator=generator, dtype=torch.float64) for a, b in pairwise(n)]
            weights[0][1:] *= case != 3  # rank one
            weights[0][:, 0] *= case != 5  # a first column of zeros
            reduced = list(answer([w.clone() for w in weights]))
            if len(reduced) != len(weights):
                return f"{len(weights)} matrices must come back for widths {n}, got {len(reduced)}"
            if any(len(b) != a.shape[1] for b, a in pairwise(reduced)):
                got = [tuple(w.shape) for w in reduced]
                return f"shapes {got} do not chain: the next weight must absorb V (W_i V before it is factored)"
            widths = (reduced[0].shape[1], *(len(w) for w in reduced))
            expected = (n[0], *(min(n[: i + 1]) for i in range(1, len(n) - 1)), n[-1])
            if widths != expected:
                if widths == reduced_widths(n):
                    return "your widths leave room for a bias: without one the matrix to factor is W_i V_{i-1} alone"
                return f"widths {n} must reduce to {expected}, yours are {widths}"
            if not all(w.isfinite().all() for w in reduced):
                return "NaN or infinite entries: was something divided by a zero norm or diagonal entry?"
            full, small = (
                RadialNetwork.from_parameters(w, [torch.zeros_like(m[:, 0]) for m in w], Squash())(x)
                for w in (weights, reduced)
            )
            if not torch.allclose(full, small, rtol=0, atol=1e-12 * float(1 + full.detach().abs().max())):
                if case == 5:
                    return (
                        "the function changed when the first column of W_1 is zero: a column of V is zero: "
                        "is sign(0) = 0 in a sign correction?"
                    )
                return (
                    f"the function changed for widths {n}: are the columns of every V orthonormal, and is W_L V used?"
                )
        return None

    return verdict(hint, "no hidden layer is wider than the input, and the function is the same.")


def _close(got: list[float], expected: list[float]) -> bool:
    return all(abs(a - b) <= 1e-9 for a, b in zip(got, expected, strict=True))
