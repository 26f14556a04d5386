"""Two distances of styles beside that of Gram matrices, computed from means and Gram matrices of activations alone.

A Gram matrix mixes the mean and the covariance of activations. The two terms here keep them apart: per channel
(:func:`moments_distance`) and with all correlations (:func:`wasserstein_distance`). As both need nothing but sums over places,
they are exact for pictures that are worked out tile by tile.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# A variance that is added to every channel of both sides, as a share of the target's mean variance. Without it the square roots
# below have no gradient where a channel is silent.
_FLOOR = 1e-3


def covariance(gram: Tensor, mean: Tensor) -> Tensor:
    """Return the covariances ``[B, C, C]`` of activations with these Gram matrices ``[B, C, C]`` and means ``[B, C]``."""
    return gram - mean.unsqueeze(2) * mean.unsqueeze(1)


def moments_distance(gram: Tensor, mean: Tensor, target_gram: Tensor, target_mean: Tensor) -> Tensor:
    """Return the squared distance of means and standard deviations, averaged over channels and the batch.

    This is the style loss of Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"
    (ICCV 2017), eq. 13, with squares.

    Args:
        gram: Gram matrices ``[B, C, C]``, averaged over positions.
        mean: means over positions ``[B, C]``.
        target_gram: ``[1, C, C]`` of the style picture.
        target_mean: ``[1, C]`` of the style picture.

    Returns:
        A scalar, of the second degree in the activations.
    """
    floor = _floor(covariance(target_gram, target_mean))
    spread, wanted = _spread(gram, mean, floor), _spread(target_gram, target_mean, floor)
    return (mean - target_mean).square().mean() + (spread - wanted).square().mean()


def wasserstein_distance(
    gram: Tensor, mean: Tensor, target_gram: Tensor, target_mean: Tensor, target_root: Tensor | None = None
) -> Tensor:
    """Return the squared 2-Wasserstein distance of the normal distributions with these moments, divided by the channels.

    ``|m - m'|² + tr(S + S' - 2 (S'^½ S S'^½)^½)`` (Givens & Shortt 1984, proposition 7), averaged over the batch. Arguments
    and units are those of :func:`moments_distance`. ``target_root`` is :func:`covariance_root` of the target, for those who
    compare with one target often: it takes as long as everything else here.
    """
    channels, result = gram.shape[1], gram.dtype
    root = covariance_root(target_gram, target_mean) if target_root is None else target_root
    gram, mean, target_gram, target_mean = (_wide(one) for one in (gram, mean, target_gram, target_mean))
    target = covariance(target_gram, target_mean)
    floor = _floor(target) * torch.eye(channels, device=gram.device, dtype=gram.dtype)
    own, target = covariance(gram, mean) + floor, target + floor
    between: Tensor = _TraceOfRoot.apply(root @ own @ root)[0]
    traces = torch.stack([matrix.diagonal(dim1=1, dim2=2).sum(dim=1).mean() for matrix in (own, target)]).sum()
    distance = ((mean - target_mean).square().sum(dim=1).mean() + traces - 2 * between.mean()) / channels
    return distance.to(result)


def covariance_root(gram: Tensor, mean: Tensor) -> Tensor:
    """Return the symmetric square roots ``[B, C, C]`` of the covariances that a target is compared by, with their floor.

    In float64 where the device has it, as :func:`wasserstein_distance` takes them.
    """
    wide = covariance(_wide(gram), _wide(mean))
    values, vectors = _eigen(wide + _floor(wide) * torch.eye(wide.shape[1], device=wide.device, dtype=wide.dtype))
    # Eigenvalues below 0 come from rounding and count as 0.
    root: Tensor = (vectors * values.clamp_min(0).sqrt().unsqueeze(1)) @ vectors.transpose(1, 2)
    return root


def _wide(values: Tensor) -> Tensor:
    """Return the tensor in float64 where the device has it: in float32 small eigenvalues, whose inverse roots make the
    gradient, are noise."""
    return values.float() if values.device.type == "mps" else values.double()


def _floor(target: Tensor) -> Tensor:
    smallest = torch.finfo(torch.float32).tiny
    return (target.diagonal(dim1=1, dim2=2).mean() * _FLOOR).clamp_min(smallest)


def _spread(gram: Tensor, mean: Tensor, floor: Tensor) -> Tensor:
    variance = gram.diagonal(dim1=1, dim2=2) - mean.square()
    return (variance.clamp_min(0) + floor).sqrt()


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh((matrix + matrix.transpose(1, 2)) / 2)
    return values, vectors


class _TraceOfRoot(torch.autograd.Function):
    """``tr M^½`` of symmetric matrices ``[B, C, C]``, with its gradient ``½ M^-½``.

    Autograd through an eigendecomposition divides by differences of eigenvalues, which may be equal; this does not.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        roots, vectors = _roots(matrix)
        return roots.sum(dim=1), roots, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, roots, vectors = output
        ctx.mark_non_differentiable(roots, vectors)
        ctx.save_for_backward(*inputs, roots, vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Tensor:
        matrix, roots, vectors = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated itself
            inverse: Tensor = _InverseRoot.apply(matrix)
        else:
            inverse = (vectors / roots.unsqueeze(1)) @ vectors.transpose(1, 2)
        return inverse * (gradient[:, None, None] / 2)


class _InverseRoot(torch.autograd.Function):
    """``M^-½`` of symmetric matrices ``[B, C, C]``, for the gradient above and for that gradient's own.

    With eigenvalues ``r²`` and eigenvectors ``V`` its differential is ``V (K ∘ Vᵀ dM V) Vᵀ``, where K has the divided
    differences of ``1 / r`` (Daleckii & Krein 1965): ``K_ij = -1 / (r_i r_j (r_i + r_j))``, also for equal eigenvalues.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor) -> Tensor:
        roots, vectors = _roots(matrix)
        inverse: Tensor = (vectors / roots.unsqueeze(1)) @ vectors.transpose(1, 2)
        return inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (matrix,) = ctx.saved_tensors
        roots, vectors = _roots(matrix)
        down, across = roots.unsqueeze(2), roots.unsqueeze(1)
        inner = vectors.transpose(1, 2) @ ((gradient + gradient.transpose(1, 2)) / 2) @ vectors
        outer: Tensor = vectors @ (-inner / (down * across * (down + across))) @ vectors.transpose(1, 2)
        return outer


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return square roots of the eigenvalues ``[B, C]``, and the eigenvectors."""
    values, vectors = _eigen(matrix)
    # M is at least the square of the floor; the rest is rounding.
    least = values.amax(dim=1, keepdim=True) * 1e-12
    return torch.maximum(values, least).clamp_min(torch.finfo(torch.float32).tiny).sqrt(), vectors
