r"""Coefficients of the QCD β function and of the matching at flavour thresholds, in the MS-bar scheme.

\(\frac{d\alpha_s}{d\ln\mu^2}=-\sum_{i=0}^3b_i\alpha_s^{i+2}\), \(b_i=\beta_i/(4\pi)^{i+1}\) (T. van Ritbergen, J.
Vermaseren, S. Larin, hep-ph/9701390, eq. 8). Plain Python numbers: they depend on the number of flavours only.
"""

import math

from ..units import C_A, C_F, T_R

ZETA_3 = 1.2020569031595942


def beta_coefficients(num_flavours: int) -> tuple[float, float, float, float]:
    """b_0 … b_3 for the given number of massless flavours."""
    n = num_flavours
    betas = (
        11 - 2 / 3 * n,
        102 - 38 / 3 * n,
        2857 / 2 - 5033 / 18 * n + 325 / 54 * n**2,
        149753 / 6
        + 3564 * ZETA_3
        - (1078361 / 162 + 6508 / 27 * ZETA_3) * n
        + (50065 / 162 + 6472 / 81 * ZETA_3) * n**2
        + 1093 / 729 * n**3,
    )
    b0, b1, b2, b3 = (beta / (4 * math.pi) ** (i + 1) for i, beta in enumerate(betas))
    return b0, b1, b2, b3


def matching(light: int, loops: int) -> tuple[float, float]:
    r"""\((d_2,d_3)\) of \(\alpha^{(n+1)}=\alpha^{(n)}(1+d_2\alpha^{(n)2}+d_3\alpha^{(n)3})\) at \(\mu=\bar m(\bar m)\),
    n = `light`.

    n-loop running goes with (n−1)-loop matching (Y. Schröder, M. Steinhauser, hep-ph/0512058; K. Chetyrkin, J. Kühn, C.
    Sturm, hep-ph/0512060, eqs. 36 and 37 at L = 0).
    """
    two = -11 / 72
    three = -564731 / 124416 + 82043 / 27648 * ZETA_3 + 2633 / 31104 * light
    return (two / math.pi**2 if loops > 2 else 0.0), (three / math.pi**3 if loops > 3 else 0.0)


def cusp_constant(num_flavours: int) -> float:
    """K of S. Catani, B. Webber, G. Marchesini, Nucl. Phys. B349 (1991) 635: C_A(67/18 − π²/6) − (10/9) T_R n_f."""
    return C_A * (67 / 18 - math.pi**2 / 6) - 10 / 9 * T_R * num_flavours


__all__ = ["C_A", "C_F", "T_R", "beta_coefficients", "cusp_constant", "matching"]
