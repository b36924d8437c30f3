"""radbook: radial neural networks, as the book "Radial Networks: Proofs and Code" proves and runs them."""

from importlib.metadata import version

from radbook.approximation import Approximation, approximate
from radbook.compression import Compression, Truncation, qr_compress, rank_compress, reduced_widths, truncate
from radbook.data import pick_device
from radbook.descent import Descent, gradient_descent, projected_gradient_descent
from radbook.frames import TwoLayerCompression, compress_two_layer, simplex
from radbook.gaussian import gaussian_target, network_target, population_loss, radial_target
from radbook.laperm import LookaheadPermutation, lookahead_permutation
from radbook.network import RadialNetwork, parameter_count
from radbook.permutation import PermutationNetwork, best_permutation
from radbook.rearrange import Rearrangement, dipole_network, kink_network, smooth_network, ternary_network
from radbook.rescaling import (
    RadialRescaling,
    RadialSigmoid,
    ShiftedReLU,
    Squash,
    StepReLU,
    jacobian,
    rescale,
    rescale_,
)
from radbook.symmetry import act, random_rotations

__version__ = version("radbook")

__all__ = [
    "Approximation",
    "Compression",
    "Descent",
    "LookaheadPermutation",
    "PermutationNetwork",
    "RadialNetwork",
    "RadialRescaling",
    "RadialSigmoid",
    "Rearrangement",
    "ShiftedReLU",
    "Squash",
    "StepReLU",
    "Truncation",
    "TwoLayerCompression",
    "act",
    "approximate",
    "best_permutation",
    "compress_two_layer",
    "dipole_network",
    "gaussian_target",
    "gradient_descent",
    "jacobian",
    "kink_network",
    "lookahead_permutation",
    "network_target",
    "parameter_count",
    "pick_device",
    "population_loss",
    "projected_gradient_descent",
    "qr_compress",
    "radial_target",
    "random_rotations",
    "rank_compress",
    "reduced_widths",
    "rescale",
    "rescale_",
    "simplex",
    "smooth_network",
    "ternary_network",
    "truncate",
]
