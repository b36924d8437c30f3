"""Two-layer ReLU networks under Gaussian inputs, in closed form (chapter "Gaussian inputs").

A two-layer network is f(x) = sum_i a_i ReLU(<w_i, x>); inputs are x ~ N(0, I_d), and |f| is the norm of L^2: nothing
here is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


class _ArcCosine(torch.autograd.Function):
    """kappa for an order of 0, kappa' for 1, kappa'' for 2; each is the derivative of the one before."""

    @staticmethod
    def forward(rho: Tensor, order: int) -> Tensor:
        rho = rho.clamp(-1, 1)
        half = torch.acos(-rho)  # pi minus the angle, without cancellation near rho = -1
        sine = ((1 - rho) * (1 + rho)).sqrt()
        if order == 0:
            return (sine + rho * half).clamp(min=0) / (2 * math.pi)
        if order == 1:
            return half / (2 * math.pi)
        return 1 / (2 * math.pi * sine.clamp(min=torch.finfo(rho.dtype).eps ** 0.5))

    @staticmethod
    def setup_context(ctx, inputs, output):
        rho, ctx.order = inputs
        ctx.save_for_backward(rho)

    @staticmethod
    def backward(ctx, *grad_outputs):
        (rho,) = ctx.saved_tensors
        if ctx.order == 2:
            raise NotImplementedError("the arc-cosine kernel can be differentiated twice, not three times")
        return grad_outputs[0] * _ArcCosine.apply(rho, ctx.order + 1), None


def arc_cosine(rho: Tensor) -> Tensor:
    """The kernel kappa(rho) = (sqrt(1 - rho^2) + (pi - arccos rho) rho) / 2 pi (Theorem thm-arc-cosine).

    For unit vectors u, v with <u, v> = rho, it is E ReLU(<u, x>) ReLU(<v, x>) (Definition def-arc-cosine).

    Args:
        rho: cosines in [-1, 1], any shape; they may lie outside by 100 roundings.

    Returns:
        kappa, the shape of rho, in [0, 1/2], within a few eps. Autograd has kappa' everywhere, and kappa'', which is
        infinite at -1 and 1, cut at 1 / (2 pi sqrt(eps)), so that no product with zero is NaN.

    Raises:
        TypeError: rho is not a real floating tensor.
        ValueError: an entry is NaN or outside [-1, 1].

    Example:
        >>> arc_cosine(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0000, 0.1592, 0.5000])
    """
    return _kernel(rho, 0)


def arc_cosine_slope(rho: Tensor) -> Tensor:
    """The slope kappa'(rho) = (pi - arccos rho) / 2 pi of the kernel (Theorem thm-arc-cosine).

    Args:
        rho: as in :func:`arc_cosine`.

    Returns:
        kappa', the shape of rho, in [0, 1/2].

    Raises:
        TypeError, ValueError: as :func:`arc_cosine`.

    Example:
        >>> arc_cosine_slope(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0000, 0.2500, 0.5000])
    """
    return _kernel(rho, 1)


def relu_covariance(u: Tensor, v: Tensor) -> Tensor:
    """E ReLU(<u_i, x>) ReLU(<v_j, x>) = |u_i| |v_j| kappa(cos of their angle) (Theorem thm-arc-cosine).

    Args:
        u: shape (..., M, d).
        v: shape (..., N, d); leading dimensions broadcast.

    Returns:
        The matrices, shape (..., M, N). Zero vectors are allowed; their gradient is 0, which is a subgradient. Lengths
        are squared on the way: in float64 they must be 0 or between 1e-150 and 1e150.

    Raises:
        TypeError: u or v is not a real floating tensor, or their dtypes differ.
        ValueError: shapes or devices do not fit, or an entry is not finite.

    Example:
        >>> relu_covariance(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0], [-4.0, 3.0]]))
        tensor([[12.5000,  3.9789]])
    """
    _check_vectors(u, "u", 2)
    _check_vectors(v, "v", 2)
    _check_alike(u, v, "u", "v")
    (s, p), (t, q) = _polar(u), _polar(v)
    return s[..., :, None] * t[..., None, :] * arc_cosine(p @ q.mT)


def relu_gram(v: Tensor) -> Tensor:
    """E ReLU(<v_i, x>) ReLU(<v_j, x>), a Gram matrix: :func:`relu_covariance` of v with itself.

    Its diagonal is |v_i|^2 / 2 exactly, and its Hessian exists where no two of the v_i point in one direction.

    Args:
        v: shape (..., M, d).

    Returns:
        Shape (..., M, M).

    Raises:
        TypeError, ValueError: as :func:`relu_covariance`.

    Example:
        >>> relu_gram(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))
        tensor([[2.0000, 0.0000],
                [0.0000, 0.5000]])
    """
    _check_vectors(v, "v", 2)
    r, u = _polar(v)
    self = torch.eye(v.shape[-2], dtype=torch.bool, device=v.device)
    kernel = arc_cosine((u @ u.mT).masked_fill(self, 0)).masked_fill(self, 0.5)
    return r[..., :, None] * r[..., None, :] * kernel


def population_loss(a: Tensor, w: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """E |sum_i a_i ReLU(<w_i, x>) - sum_j b_j ReLU(<v_j, x>)|^2 (Proposition prop-population-loss).

    Args:
        a: output weights of the first network, shape (..., N).
        w: its input weights, shape (..., N, d).
        b: output weights of the second, shape (..., M); leading dimensions broadcast.
        v: its input weights, shape (..., M, d).

    Returns:
        The losses, shape (...,). Rounding is at most 10 (M + N) eps (sum_i |a_i| |w_i| + sum_j |b_j| |v_j|)^2: a loss
        below that is noise, of either sign.

    Raises:
        TypeError, ValueError: as :func:`relu_covariance`; or a, b do not have the shapes of w, v without d.

    Example:
        >>> w, one = torch.eye(2), torch.ones(2)
        >>> population_loss(one, w, one, -w)  # of x_1 + x_2
        tensor(2.)
    """
    _check_network(a, w, "a", "w")
    _check_network(b, v, "b", "v")
    _check_alike(w, v, "w", "v")
    lead = torch.broadcast_shapes(w.shape[:-2], v.shape[:-2])
    weights = torch.cat([a.expand(*lead, -1), -b.expand(*lead, -1)], dim=-1)
    gram = relu_gram(torch.cat([w.expand(*lead, -1, -1), v.expand(*lead, -1, -1)], dim=-2))
    return _form(gram, weights)


@dataclass(frozen=True)
class Target:
    """A function f in L^2(N(0, I_d)), known by what a best approximation by ReLU nodes needs to know of it.

    Attributes:
        value: x of shape (..., d) to f(x), shape (...,).
        overlap: v of shape (..., M, d) to E f(x) ReLU(<v_j, x>), shape (..., M).
        square: E f(x)^2.
        d: dimension of the inputs.
        nodes: how many nodes f has; inf for a limit.
    """

    value: Callable[[Tensor], Tensor]
    overlap: Callable[[Tensor], Tensor]
    square: float
    d: int
    nodes: float = math.inf

    def loss(self, b: Tensor, v: Tensor) -> Tensor:
        """E |f(x) - sum_j b_j ReLU(<v_j, x>)|^2 (Proposition prop-population-loss).

        Args:
            b: shape (..., M).
            v: shape (..., M, d), of the dtype and on the device of f.

        Returns:
            The losses, shape (...,).

        Raises:
            TypeError, ValueError: as :func:`population_loss`.
        """
        _check_network(b, v, "b", "v")
        if v.shape[-1] != self.d:
            raise ValueError(f"the nodes v must live in dimension d = {self.d} of the target, got {tuple(v.shape)}")
        return _form(relu_gram(v), b) - 2 * (b * self.overlap(v)).sum(-1) + self.square


def network_target(a: Tensor, w: Tensor) -> Target:
    """The two-layer network f(x) = sum_i a_i ReLU(<w_i, x>) as a target (Proposition prop-population-loss).

    Args:
        a: output weights, shape (N,); they include the factor 1/N of a mean, if there is one.
        w: input weights, shape (N, d).

    Returns:
        The target.

    Raises:
        TypeError, ValueError: as :func:`population_loss`; or a, w have leading dimensions.

    Example:
        >>> network_target(torch.ones(2), torch.eye(2)).loss(torch.ones(1), torch.eye(2)[:1])
        tensor(0.5000)
    """
    _check_network(a, w, "a", "w")
    if a.ndim != 1:
        raise ValueError(f"one network is a target: a must have shape (N,), got {tuple(a.shape)}")
    a, w = a.detach(), w.detach()
    lengths, directions = _polar(w)
    weights = a * lengths
    rows = max(1, 2**17 // len(w))  # of the kernel at once: small tables stay in the cache, large ones take new memory

    def overlap(v: Tensor) -> Tensor:
        _check_vectors(v, "v", 2)
        _check_alike(v, w, "v", "w")
        r, u = _polar(v)
        parts = [arc_cosine(part @ directions.mT) @ weights for part in u.flatten(0, -2).split(rows)]
        return r * torch.cat(parts).unflatten(0, v.shape[:-1])

    return Target(
        value=lambda x: (x @ w.mT).relu() @ a,
        overlap=overlap,
        square=float(_form(relu_gram(w), a)),
        d=w.shape[1],
        nodes=len(a),
    )


def radial_mean(d: int) -> float:
    """E ReLU(xi_1) for xi uniform on the unit sphere of R^d, Gamma(d/2) / (2 sqrt(pi) Gamma((d + 1)/2)).

    For isotropic (a, w), wide networks tend to c|x|, with c = E[a |w|] times this number (Theorem thm-mean-field).

    Args:
        d: dimension >= 1.

    Raises:
        ValueError: d is not an integer >= 1.

    Example:
        >>> round(radial_mean(3), 6)
        0.25
    """
    _check_dimension(d)
    return math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / (2 * math.sqrt(math.pi))


def radial_target(c: float, d: int) -> Target:
    """The radial function c|x| on R^d, the limit of wide isotropic networks (Theorem thm-mean-field).

    Args:
        c: any finite number.
        d: dimension >= 1.

    Returns:
        The target; it takes nodes of any dtype on any device.

    Raises:
        ValueError: c is not finite, or d is not an integer >= 1.

    Example:
        >>> float(radial_target(1.0, 2).loss(torch.zeros(1), torch.ones(1, 2)))
        2.0
    """
    if not math.isfinite(c):
        raise ValueError(f"c must be a finite number, got {c}")
    overlap = c * d * radial_mean(d)
    return Target(
        value=lambda x: c * x.norm(dim=-1),
        overlap=lambda v: overlap * _polar(v)[0],
        square=c * c * d,
        d=d,
    )


def gaussian_limit(x: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """E ReLU(<w, x>) for w ~ N(mu, Sigma), which is m Phi(m/s) + s phi(m/s) (Proposition prop-gaussian-limit).

    Here m = <mu, x> and s^2 = <x, Sigma x>; where s = 0 it is ReLU(m).

    Args:
        x: shape (..., d).
        mu: mean, shape (d,).
        sigma: covariance, shape (d, d), symmetric and positive semidefinite.

    Returns:
        Shape (...,).

    Raises:
        TypeError, ValueError: as :func:`relu_covariance`; or sigma is not a covariance matrix of the size of mu.

    Example:
        >>> gaussian_limit(torch.eye(2), torch.tensor([0.0, 2.0]), torch.diag(torch.tensor([1.0, 0.0])))
        tensor([0.3989, 2.0000])
    """
    _check_vectors(x, "x", 1)
    variances, axes = _covariance(mu, sigma)
    _check_alike(x, mu[None], "x", "mu")
    m, s = x @ mu, ((x @ axes) ** 2 @ variances).sqrt()
    z = m / torch.where(s > 0, s, 1)
    smooth = m * torch.special.ndtr(z) + s * (-z * z / 2).exp() / math.sqrt(2 * math.pi)
    return torch.where(s > 0, smooth, m.relu())


def gaussian_target(mu: Tensor, sigma: Tensor, a: float = 1.0, *, points: int = 48) -> Target:
    """The limit a E ReLU(<w, x>), w ~ N(mu, Sigma), of wide Gaussian networks (Proposition prop-gaussian-limit).

    Overlaps and square are integrals over one and two variables, by Gauss-Legendre quadrature in float64. For
    Sigma = sigma^2 I and |mu| <= 5 sigma, 48 points give the overlaps up to 1e-11 |v| sqrt(square), and the square up
    to a relative error of 1e-9 for d = 1, 1e-10 for d = 2 and 1e-12 from d = 3 on. The more unequal the variances, the
    larger the errors: compare two values of ``points``.

    Args:
        mu: mean of w, shape (d,).
        sigma: covariance of w, shape (d, d), not zero.
        a: mean of the output weights, independent of w.
        points: of the quadrature, for each variable.

    Returns:
        The target.

    Raises:
        TypeError, ValueError: as :func:`gaussian_limit`; or sigma is zero, a is not finite, or points < 1.

    Example:
        >>> target = gaussian_target(torch.zeros(2), torch.eye(2))  # |x| / sqrt(2 pi)
        >>> round(target.square * math.pi, 6)
        1.0
    """
    if not math.isfinite(a) or points < 1:
        raise ValueError(f"a must be a finite number and points >= 1, got {a} and {points}")
    variances, axes = _covariance(mu, sigma)
    if not variances.max() > 0:
        raise ValueError("sigma is zero, so that w = mu: take network_target with one node")
    mean, variances, axes = axes.mT.double() @ mu.double(), variances.double(), axes.double()
    angles, weights = (torch.from_numpy(z).to(mean) for z in np.polynomial.legendre.leggauss(points))
    unit, unit_weights = (angles + 1) / 2, weights / 2
    # |y| = (2/pi) times the integral of (1 - cos ty) / t^2 over t > 0; t = tan(angle) / scale
    scale = variances.mean().sqrt()
    t = (math.pi / 2 * unit).tan() / scale
    measure = math.pi / 2 * unit_weights * (1 + (scale * t) ** 2) / scale / t**2 * (2 / math.pi)

    spread = t[:, None] ** 2 * variances  # (T, d): t^2 Sigma, in the axes of Sigma
    decay = torch.log1p(spread).sum(1) / 2  # log det (I + t^2 Sigma) / 2
    tilt = t[:, None] ** 2 * mean**2 / (1 + spread) / 2  # summed: t^2 <mu, (I + t^2 Sigma)^{-1} mu> / 2

    def overlap(v: Tensor) -> Tensor:
        r, u = _polar(v)
        u = u.double() @ axes
        size = (u**2 @ (1 / (1 + spread)).mT).clamp(min=1e-300)  # (..., M, T): <u, (I + t^2 Sigma)^{-1} u>
        z = (t * (u @ (mean / (1 + spread)).mT)) ** 2 / (2 * size)
        rest = decay + tilt.sum(1) - z
        growth = ((unit**2 - 1) * z[..., None]).exp() @ unit_weights  # (1 - 2 z growth) e^z = 1F1(-1/2; 1/2; z)
        even = (1 - (-rest).exp() * size.sqrt() * (1 - 2 * z * growth)) @ measure
        return a * r * (u @ mean / 4 + math.sqrt(2 / math.pi) / 4 * even).to(v.dtype)

    p, q = spread[:, None], spread[None]
    joint = torch.log1p(p * q / (1 + p + q)).sum(-1) / 2
    joint = joint + (tilt[:, None] * q * (2 + p + q) / ((1 + q) * (1 + p + q))).sum(-1)
    z = t[:, None] * t * (mean**2 / (1 + p + q)).sum(-1)
    joint = joint + z + torch.log1p((-2 * z).expm1() / 2)  # + log cosh z
    level = decay + tilt.sum(1)
    both = -level[:, None] - level
    rest = torch.where(joint < 1, both.exp() * joint.expm1(), (both + joint).exp() - both.exp())
    pairs = level.neg().expm1()[:, None] * level.neg().expm1() + rest
    square = a * a * (mean.square().sum() + measure @ pairs @ measure) / 4
    return Target(lambda x: a * gaussian_limit(x, mu, sigma), overlap, float(square), len(mu))


def _kernel(rho: Tensor, order: int) -> Tensor:
    _check_floating(rho, "rho")
    limit = 1 + 100 * torch.finfo(rho.dtype).eps
    if rho.numel() and not all(bound.abs() <= limit for bound in rho.detach().aminmax()):
        raise ValueError("rho must be a cosine, in [-1, 1]; an entry is NaN or outside")
    return _ArcCosine.apply(rho, order)


def _polar(v: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths, shape (..., M), and unit vectors; a zero vector stays zero."""
    zero = (v == 0).all(-1, keepdim=True)
    r = v.masked_fill(zero, 1).norm(dim=-1, keepdim=True)  # a norm has no derivatives at 0
    return r.masked_fill(zero, 0)[..., 0], v / r


def _form(gram: Tensor, b: Tensor) -> Tensor:
    return (b * (gram @ b[..., None])[..., 0]).sum(-1)


def _covariance(mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Variances and axes, the eigenvalues and eigenvectors of sigma."""
    _check_vectors(mu, "mu", 1)
    _check_vectors(sigma, "sigma", 2)
    _check_alike(mu[None], sigma, "mu", "sigma")
    d = len(mu)
    if mu.ndim != 1 or sigma.shape != (d, d):
        raise ValueError(f"mu and sigma must have shapes (d,) and (d, d), got {tuple(mu.shape)}, {tuple(sigma.shape)}")
    rounding = 10 * d * torch.finfo(sigma.dtype).eps * sigma.abs().max()
    variances, axes = torch.linalg.eigh((sigma + sigma.mT) / 2)
    if (sigma - sigma.mT).abs().max() > rounding or variances.min() < -rounding:
        raise ValueError("sigma must be a covariance matrix: symmetric, without negative eigenvalues")
    return variances.clamp(min=0), axes


def _check_dimension(d: int) -> None:
    if isinstance(d, bool) or not isinstance(d, int) or d < 1:
        raise ValueError(f"the dimension d must be an integer >= 1, got {d!r}")


def _check_floating(x: Tensor, name: str) -> None:
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a real floating tensor, got {kind}; convert with .to(torch.float64)")


def _check_vectors(x: Tensor, name: str, ndim: int) -> None:
    _check_floating(x, name)
    if x.ndim < ndim or x.shape[-1] == 0:
        shape = "(..., M, d)" if ndim == 2 else "(..., d)"
        raise ValueError(f"{name} must have shape {shape} with d >= 1, got {tuple(x.shape)}")
    if not x.isfinite().all():
        raise ValueError(f"{name} must be finite, but there are NaN or infinite entries")


def _check_network(b: Tensor, v: Tensor, b_name: str, v_name: str) -> None:
    """Output weights (..., M) and input weights (..., M, d) of one network."""
    _check_vectors(v, v_name, 2)
    _check_vectors(b, b_name, 1)
    if b.shape != v.shape[:-1]:
        raise ValueError(
            f"{b_name} must hold one output weight for every row of {v_name}, so have shape {tuple(v.shape[:-1])}, "
            f"got {tuple(b.shape)}"
        )
    _check_alike(b, v, b_name, v_name, dimension=False)


def _check_alike(x: Tensor, y: Tensor, x_name: str, y_name: str, *, dimension: bool = True) -> None:
    if x.dtype != y.dtype:
        raise TypeError(f"{x_name} and {y_name} must have one dtype, got {x.dtype} and {y.dtype}")
    if x.device != y.device:
        raise ValueError(f"{x_name} and {y_name} must be on one device, got {x.device} and {y.device}")
    if dimension and x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{x_name} and {y_name} must have one dimension d, got shapes {tuple(x.shape)} and {tuple(y.shape)}"
        )
