"""Answer checkers for the exercises: each takes a reader's answer and says whether it is right, with a hint if not."""

from radbook.check.bounded import narrow_collapses, network_collapses, rank_budget, slanted_cut
from radbook.check.covers import balls_needed, farthest_points, nearest_in_dn
from radbook.check.descent import descent_mask, equivariance_defect, polar_factor
from radbook.check.equivariance import block_complex, block_rescaling, block_tilt, block_widths
from radbook.check.etf import frame_excess, graph_frame, simplex_frame
from radbook.check.experiments import ball_network, dead_layers, noise_in_ball, resumed_descent
from radbook.check.gaussian import leaky_kernel, nodes_needed, output_weights, overlap_slope
from radbook.check.growing import growing_layer, growing_onion, growing_read_back
from radbook.check.laperm import first_move, permuted_descent, synchronised
from radbook.check.minimal import far_twin, minimal_width, needle_matrix
from radbook.check.networks import layer_centre, network_count, network_forward, output_backward, rotated_network
from radbook.check.orbits import orbit_alignment, orbit_count, orbit_momentum, orbit_tangent
from radbook.check.permutation import digit_coefficients, digit_decode, perm_signs, perm_tracker
from radbook.check.prerequisites import column_projection, plain_descent, unit_rows
from radbook.check.profiles import difference_weights, parabolic_layer
from radbook.check.qr import qr_layer, qr_layer_errors, qr_widths, qr_without_biases
from radbook.check.ranks import certified_predictions, reachable_ranks, residual_certificate, truncated_layer
from radbook.check.rescaling import jacobian_product, recovered_profile, zero_safe_rescale
from radbook.check.verdict import Verdict, verdict

__all__ = [
    "Verdict",
    "ball_network",
    "balls_needed",
    "block_complex",
    "block_rescaling",
    "block_tilt",
    "block_widths",
    "certified_predictions",
    "column_projection",
    "dead_layers",
    "descent_mask",
    "difference_weights",
    "digit_coefficients",
    "digit_decode",
    "equivariance_defect",
    "far_twin",
    "farthest_points",
    "first_move",
    "frame_excess",
    "graph_frame",
    "growing_layer",
    "growing_onion",
    "growing_read_back",
    "jacobian_product",
    "layer_centre",
    "leaky_kernel",
    "minimal_width",
    "narrow_collapses",
    "nearest_in_dn",
    "needle_matrix",
    "network_collapses",
    "network_count",
    "network_forward",
    "nodes_needed",
    "noise_in_ball",
    "orbit_alignment",
    "orbit_count",
    "orbit_momentum",
    "orbit_tangent",
    "output_backward",
    "output_weights",
    "overlap_slope",
    "parabolic_layer",
    "perm_signs",
    "perm_tracker",
    "permuted_descent",
    "plain_descent",
    "polar_factor",
    "qr_layer",
    "qr_layer_errors",
    "qr_widths",
    "qr_without_biases",
    "rank_budget",
    "reachable_ranks",
    "recovered_profile",
    "residual_certificate",
    "resumed_descent",
    "rotated_network",
    "simplex_frame",
    "slanted_cut",
    "synchronised",
    "truncated_layer",
    "unit_rows",
    "verdict",
    "zero_safe_rescale",
]
