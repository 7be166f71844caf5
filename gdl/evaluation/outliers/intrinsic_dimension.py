"""The local intrinsic dimension of a flow's density around an image."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Incapable, MapsContinuous, refuse
from gdl.evaluation.outliers.images import Images
from gdl.flows.priors import NormalPrior

__all__ = ["dimension", "intrinsic_dimension"]

ROWS = 256
"""Rows of a Jacobian at a time."""


def dimension(images: Images, train: Images, scale: float = 0.05, max_dims: int = 256) -> Tensor:
    """Return minus the local intrinsic dimension (N,): high where the density has few dimensions.

    A flow may give simple images from elsewhere a high density because it is concentrated there in
    few dimensions, so that hardly any probability lies there (Kamkari et al., 2024, "A geometric
    explanation of the likelihood OOD detection paradox", arXiv 2403.18910, where an image belongs if
    both its likelihood and its dimension are high). It takes the whole Jacobian of each image, D passes
    of the flow, and its singular values.

    Args:
        images: To score.
        train: Not used.
        scale: See `intrinsic_dimension`; the pixels are in [0, 1].
        max_dims: Largest D, since the cost of an image rises at least as its square.

    Raises:
        Incapable: The model is no flow with normal latents, or D is larger than `max_dims`.
    """
    model = images.model
    if not isinstance(model, MapsContinuous):
        refuse(model, MapsContinuous, "it asks for the Jacobian of a flow", models)
    if not isinstance(model.prior, NormalPrior):
        raise Incapable(
            f"it asks for normal latents, and those of this {type(model).__name__} are not: use a run "
            "of model=realnvp or model=glow."
        )
    if (dims := images.x[0].numel()) > max_dims:
        raise Incapable(
            f"it asks for images of few values, because it takes {dims} passes for each: raise "
            f"ood.max_dims to {dims}, beside a small limit."
        )

    def of_batch(x: Tensor) -> Tensor:
        with torch.inference_mode(False):
            return -torch.stack([_dimension(model, image, scale) for image in x.clone()])

    return images.each(of_batch, "dimension")


def _dimension(model: MapsContinuous, image: Tensor, scale: float) -> Tensor:
    rows = []
    for wanted in torch.arange(image.numel(), device=image.device).split(ROWS):
        with torch.enable_grad():
            # one copy of the image for each latent, so that one backward pass gives a row for each
            y = model.middle(image.repeat(len(wanted), *[1] * image.ndim)).requires_grad_()
            z = model.latents(y)
            (part,) = torch.autograd.grad(z.gather(1, wanted[:, None]).sum(), y)
        rows.append(part.flatten(1))
    with torch.no_grad():
        z = model.latents(model.middle(image[None]))
    return intrinsic_dimension(torch.cat(rows), z[0], scale)


def intrinsic_dimension(jacobian: Tensor, z: Tensor, scale: float) -> Tensor:
    """Return the dimension (a number) of a density at scale `scale` around a point y.

    Linearised at its latent z, the flow's density is N(y - J z, J J^T), J = dy/dz. Blurred with
    N(0, e^(2r) I) its log rises by r (d - D) where it has d dimensions of D, so d = D + its slope in
    r (Kamkari et al., 2024, after Tempczyk et al., 2022, "LIDL", arXiv 2206.14882). With the
    singular values s of J and the coordinates c of z in its right singular vectors,

        d = sum_i s_i^2 / (s_i^2 + e^(2r)) + e^(2r) sum_i (s_i c_i / (s_i^2 + e^(2r)))^2.

    Args:
        jacobian: dz/dy, the inverse of J, (D, D).
        z: The latent (D,), normal a priori.
        scale: e^r, in the unit of y.
    """
    u, singular, _ = torch.linalg.svd(jacobian.double())
    variance = singular.clamp(min=1e-12) ** -2  # of y, along the directions u of z
    c, blur = z.double() @ u, scale**2
    total = variance + blur
    return (variance / total + blur * variance * (c / total).square()).sum()
