"""What libmypaint's masks of dabs are made with."""

import numpy as np

# libmypaint softens the mask of dabs below this radius, in px, and draws none below
# the other.
SOFT_RADIUS = 3.0
SMALLEST_RADIUS = 0.1
# How far apart a softened pixel's near and far sides are, in px: the radius of a
# circle of one pixel's area.
PIXEL_RADIUS = float(np.sqrt(1 / np.pi))
# Keeps the outer line's slope finite.
LARGEST_HARDNESS = 0.9999
