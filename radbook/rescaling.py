"""Radial profiles and the rescaling activations they define (chapter "Rescaling activations").

A profile ``h: [0, inf) -> R`` defines the map ``rho(v) = h(|v|) v / |v|``, ``rho(0) = 0``, on every R^n at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import grad

Profile = Callable[[Tensor], Tensor]


def radius(v: Tensor) -> Tensor:
    """Euclidean norms |v| along the last dimension, with derivative 0 (of every order) where v = 0.

    No intermediate square over- or underflows.

    Args:
        v: vectors, shape (..., n) with n >= 1, any real floating dtype.

    Returns:
        Norms, shape (..., 1), in v's dtype and on its device.

    Raises:
        TypeError: v is not a real floating tensor.
        ValueError: v has no last dimension, or an empty one.
    """
    _check_vectors(v)
    return _polar(v)[1]


def _check_vectors(v: Tensor) -> None:
    if not (isinstance(v, Tensor) and v.is_floating_point()):
        kind = v.dtype if isinstance(v, Tensor) else type(v).__name__
        raise TypeError(f"v must be a real floating tensor, got {kind}; convert it with v.to(torch.float64)")
    if v.ndim == 0 or v.shape[-1] == 0:
        raise ValueError(f"v must have shape (..., n) with n >= 1, got {tuple(v.shape)}")


def _safe_norm(v: Tensor) -> Tensor:
    """|v|, shape (..., 1), with the largest entry divided out first."""
    largest = torch.linalg.vector_norm(v.detach(), ord=torch.inf, dim=-1, keepdim=True)
    zero = largest == 0
    safe = torch.where(zero, 1.0, largest)
    u = v / safe
    square = torch.where(zero, 1.0, (u * u).sum(-1, keepdim=True))
    return torch.where(zero, 0.0, safe * square.sqrt())


def _norm(v: Tensor) -> tuple[Tensor, bool]:
    """|v|, shape (..., 1), in one pass, and whether all norms are known to be positive and finite.

    The safe norm takes over where squares may have over- or underflowed. On a GPU it takes over everywhere: to look for
    such vectors would make the program wait for the result.
    """
    if v.device.type != "cpu":
        return _safe_norm(v), False
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    limits = torch.finfo(v.dtype)
    low, high = (v.shape[-1] * limits.tiny / limits.eps) ** 0.5, math.inf
    if not r.numel():
        return r, True
    least, greatest = r.detach().aminmax()  # NaN where there is one
    if low < least and greatest < high:
        return r, True
    rough = ~((low < r) & (r < high))[..., 0]
    r[rough] = _safe_norm(v[rough])
    return r, False


def _as_formula() -> bool:
    """Whether torch will differentiate, batch or translate what is done here, and needs a formula for it.

    Through a Function, transforms of ``torch.func`` lose tangents of tangents.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return True
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def _by_hand(v: Tensor) -> bool:
    """Whether the derivatives of the two Functions below are used: only where there is a backward pass."""
    return v.requires_grad and torch.is_grad_enabled() and not _as_formula()


def _polar(v: Tensor) -> tuple[Tensor, Tensor, bool]:
    """v, its norms, and whether these are known to be positive and finite."""
    if _by_hand(v):
        return _Polar.apply(v)
    return (v, _safe_norm(v), False) if _as_formula() else (v, *_norm(v))


class _Polar(torch.autograd.Function):
    """v to (v, r, regular) with r = |v|; regular if all norms are known to be positive and finite.

    It passes v on so that both gradients of lambda(r) v, with respect to v and to r, meet here and become one tensor.
    """

    @staticmethod
    def forward(ctx, v: Tensor) -> tuple[Tensor, Tensor, bool]:
        r, regular = _norm(v)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(v, r)
        ctx.save_for_forward(v, r)
        ctx.over = torch.div if regular else _over
        return v.detach(), r, regular

    @staticmethod
    def backward(ctx, *grad_outputs):
        g, g_r, _ = grad_outputs
        v, r = ctx.saved_tensors
        if g_r is None:
            return g
        along = ctx.over(g_r, r)
        if g is None:
            return along * v
        return g.addcmul(along, v) if torch.is_grad_enabled() else g.addcmul_(along, v)  # g is of _Scale, and new

    @staticmethod
    def jvp(ctx, *grad_inputs):
        (t,) = grad_inputs
        v, r = ctx.saved_tensors
        return t, ctx.over((t * v).sum(-1, keepdim=True), r), None


class _Scale(torch.autograd.Function):
    """(v, factor) to factor * v, for a factor of shape (..., 1)."""

    @staticmethod
    def forward(ctx, v: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(v, factor)
        ctx.save_for_forward(v, factor)
        return factor * v

    @staticmethod
    def backward(ctx, *grad_outputs):
        (g,) = grad_outputs
        v, factor = ctx.saved_tensors
        product = g * v
        along = product.sum(-1, keepdim=True)
        if torch.is_grad_enabled():
            return factor * g, along
        return product.copy_(g).mul_(factor), along  # a pass over memory at hand costs less than new memory

    @staticmethod
    def jvp(ctx, *grad_inputs):
        t, t_factor = grad_inputs
        v, factor = ctx.saved_tensors
        return factor * t + t_factor * v


def _over(x: Tensor, r: Tensor) -> Tensor:
    """The quotient x / r, and 0 where r = 0."""
    zero = r == 0
    return torch.where(zero, 0.0, x / torch.where(zero, 1.0, r))


def derivative(profile: Profile, r: Tensor) -> Tensor:
    """Derivative h'(r), elementwise, by automatic differentiation.

    Args:
        profile: h, elementwise and differentiable by torch.
        r: radii > 0, any shape.

    Returns:
        h'(r), the shape, dtype and device of r.
    """
    return grad(lambda r: profile(r).sum())(r)


def slope_at_zero(profile: Profile, like: Tensor) -> Tensor:
    """Derivative h' at the smallest positive normal number, in place of the one-sided derivative h'(0+).

    The two agree up to rounding if h' is continuous at 0 and not steep there on a logarithmic scale; for other
    profiles give the slope by hand.

    Args:
        profile: h, differentiable by torch just right of 0.
        like: tensor whose dtype and device the result takes.

    Returns:
        A tensor of shape ().
    """
    tiny = torch.full((), torch.finfo(like.dtype).tiny, dtype=like.dtype, device=like.device)
    return derivative(profile, tiny)


def scaling_factor(r: Tensor, profile: Profile, slope: float | Tensor | None = None) -> Tensor:
    """The factor lambda(r) = h(r) / r, continued to r = 0 by h'(0+) (Definition def-rescaling).

    Args:
        r: radii >= 0, any shape.
        profile: h, applied elementwise to positive radii only.
        slope: h'(0+) where it is known; None differentiates ``profile`` (see :func:`slope_at_zero`).

    Returns:
        lambda(r), the shape, dtype and device of r.

    Raises:
        ValueError: ``profile`` changes the shape of what it is given.
    """
    zero = r == 0
    positive = torch.where(zero, 1.0, r)
    height = _height(profile, positive)
    at_zero = slope_at_zero(profile, r) if slope is None else slope
    return torch.where(zero, at_zero, height / positive).to(r.dtype)


def _factor(r: Tensor, regular: bool, profile: Profile, slope: float | Tensor | None) -> Tensor:
    """lambda(r), without a look at r = 0 where r is regular, unless the slope there may be trained."""
    if regular and not isinstance(slope, Tensor):
        return (_height(profile, r) / r).to(r.dtype)
    return scaling_factor(r, profile, slope)


def _height(profile: Profile, r: Tensor) -> Tensor:
    """h(r) for positive radii."""
    height = profile(r)
    if height.shape != r.shape:
        raise ValueError(
            f"the profile must act elementwise: it turned shape {tuple(r.shape)} into {tuple(height.shape)}"
        )
    return height


def rescale(v: Tensor, profile: Profile, slope: float | Tensor | None = None) -> Tensor:
    """Rescaling rho(v) = h(|v|) v / |v|, rho(0) = 0 (Definition def-rescaling; Ganev et al.).

    The value at v = 0 is exactly 0 and the derivative there is h'(0+) I, which is the derivative of rho when
    h(0+) = 0. (When the profile jumps at 0, rho has no derivative there and this is a convention.) Each vector is
    treated alone: no epsilon in the norm, no dependence on the rest of the batch.

    Args:
        v: vectors, shape (..., n), real floating dtype.
        profile: h, any elementwise callable on positive radii.
        slope: h'(0+) where it is known; None differentiates ``profile`` (see :func:`slope_at_zero`).

    Returns:
        rho(v), the shape, dtype and device of v.

    Raises:
        TypeError: v is not a real floating tensor.
        ValueError: v has an empty or no last dimension, or the profile is not elementwise.

    Example:
        >>> rescale(torch.tensor([3.0, 4.0]), lambda r: r**2)
        tensor([15., 20.])
    """
    _check_vectors(v)
    v, r, regular = _polar(v)
    factor = _factor(r, regular, profile, slope)
    return _Scale.apply(v, factor) if _by_hand(v) else factor * v


def rescale_(v: Tensor, profile: Profile, slope: float | Tensor | None = None) -> Tensor:
    """The rescaling of :func:`rescale` in place: v becomes rho(v). For inference, where new memory costs most.

    Args:
        v: vectors, shape (..., n), real floating dtype; without gradients (work under ``torch.no_grad()``).
        profile: h, any elementwise callable on positive radii.
        slope: h'(0+) where it is known; None differentiates ``profile`` (see :func:`slope_at_zero`).

    Returns:
        v itself.

    Raises:
        TypeError, ValueError: as :func:`rescale`; or v or the profile requires a gradient, which needs the old v.

    Example:
        >>> v = torch.tensor([3.0, 4.0])
        >>> rescale_(v, lambda r: r**2) is v
        True
        >>> v
        tensor([15., 20.])
    """
    _check_vectors(v)
    _, r, regular = _polar(v)
    factor = _factor(r, regular, profile, slope)
    if factor.requires_grad:
        raise ValueError("a gradient is required, which needs the old v: call rescale, or use torch.no_grad()")
    return v.mul_(factor)


def jacobian(v: Tensor, profile: Profile, slope: float | Tensor | None = None) -> Tensor:
    """Derivative D rho(v) = lambda(r) (I - u u^T) + h'(r) u u^T, u = v / r (Proposition prop-jacobian).

    Args:
        v: vectors, shape (..., n).
        profile: h, differentiable at the radii of v.
        slope: h'(0+) where it is known; the derivative at v = 0 is slope * I.

    Returns:
        Jacobian matrices, shape (..., n, n), dtype and device of v.

    Raises:
        TypeError, ValueError: as :func:`rescale`.
    """
    r = radius(v)
    zero = r == 0
    positive = torch.where(zero, 1.0, r)
    factor = scaling_factor(r, profile, slope).unsqueeze(-1)
    slope_along = derivative(profile, positive).unsqueeze(-1)
    u = (v / positive).unsqueeze(-1)
    identity = torch.eye(v.shape[-1], dtype=v.dtype, device=v.device)
    along = torch.where(zero.unsqueeze(-1), 0.0, slope_along - factor)
    return factor * identity + along * (u @ u.mT)


class RadialRescaling(nn.Module):
    """The rescaling activation of any profile h (Definition def-rescaling).

    Args:
        profile: h, an elementwise callable on positive radii; an ``nn.Module`` keeps its parameters trainable.
        slope: h'(0+) where it is known; None differentiates ``profile`` (see :func:`slope_at_zero`).
        lipschitz: a proven Lipschitz constant of rho, where one is known (``math.inf`` if there is none).

    Raises:
        TypeError: ``profile`` is not callable.

    Shape:
        (..., n) to (..., n), for every n.
    """

    slope: float | None = None
    lipschitz: float | None = None

    def __init__(self, profile: Profile, *, slope: float | None = None, lipschitz: float | None = None) -> None:
        super().__init__()
        if not callable(profile):
            raise TypeError(f"profile must be a callable h(r), got {type(profile).__name__}")
        self.h = profile
        self.slope = slope
        self.lipschitz = lipschitz

    def profile(self, r: Tensor) -> Tensor:
        """h(r), elementwise, for radii r > 0 of any shape."""
        return self.h(r)

    def factor(self, r: Tensor) -> Tensor:
        """lambda(r) = h(r) / r, and h'(0+) at r = 0, elementwise, for radii r >= 0 of any shape."""
        return scaling_factor(r, self.profile, self.slope)

    def forward(self, v: Tensor) -> Tensor:
        return rescale(v, self.profile, self.slope)


class StepReLU(RadialRescaling):
    """Step-ReLU, h(r) = r if r >= 1 else 0: collapses the open unit ball and fixes the rest (Ganev et al.)."""

    slope = 0.0
    lipschitz = math.inf

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def profile(self, r: Tensor) -> Tensor:
        return torch.where(r >= 1, r, 0.0)


class Squash(RadialRescaling):
    """Squashing, h(r) = r^2 / (1 + r^2): maps R^n into the open unit ball; Lipschitz constant 3 sqrt(3) / 8."""

    slope = 0.0
    lipschitz = 3 * math.sqrt(3) / 8

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def profile(self, r: Tensor) -> Tensor:
        inner, outer = r.clamp(max=1), r.clamp(min=1)  # r^2 overflows long before r does; r^-2 only underflows
        return torch.where(r <= 1, inner**2 / (1 + inner**2), 1 / (1 + outer**-2))


class _Shifted(RadialRescaling):
    """A profile with one shift, a number or a trainable parameter (``shift``, shape ())."""

    shift: float | nn.Parameter

    def __init__(self, shift: float, trainable: bool) -> None:
        nn.Module.__init__(self)
        if not math.isfinite(shift):
            raise ValueError(f"shift must be a finite number, got {shift}")
        self.shift = nn.Parameter(torch.tensor(float(shift))) if trainable else float(shift)

    def extra_repr(self) -> str:
        shift = self.shift.item() if isinstance(self.shift, nn.Parameter) else self.shift
        return f"shift={shift:g}, trainable={isinstance(self.shift, nn.Parameter)}"


class ShiftedReLU(_Shifted):
    """Shifted ReLU, h(r) = max(0, r - shift): collapses a ball, shortens the rest; Lipschitz constant 1.

    Args:
        shift: radius of the collapsed ball, >= 0.
        trainable: whether the shift is a parameter. Training may push it below 0, where rho jumps at the origin.

    Raises:
        ValueError: shift is negative or not finite.
    """

    lipschitz = 1.0

    def __init__(self, shift: float = 1.0, *, trainable: bool = False) -> None:
        super().__init__(shift, trainable)
        if shift < 0:
            raise ValueError(f"shift must be >= 0 (below 0 the activation jumps at the origin), got {shift}")

    def profile(self, r: Tensor) -> Tensor:
        return torch.relu(r - self.shift)


class RadialSigmoid(_Shifted):
    """Radial sigmoid, h(r) = 1 / (1 + exp(shift - r)). Not continuous at 0: h(0+) = 1 / (1 + exp(shift)) > 0.

    Args:
        shift: radius at which h is 1/2.
        trainable: whether the shift is a parameter.

    Raises:
        ValueError: shift is not finite.
    """

    lipschitz = math.inf

    def __init__(self, shift: float = 0.0, *, trainable: bool = False) -> None:
        super().__init__(shift, trainable)

    def profile(self, r: Tensor) -> Tensor:
        return torch.sigmoid(r - self.shift)
