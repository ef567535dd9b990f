"""libmypaint's brushes in numpy, for a batch of canvases."""

from spiral_jax.names import SHIPPED_BRUSHES as SHIPPED_BRUSHES
from spiral_jax.renderers.mypaint.brush import Brush as Brush
from spiral_jax.renderers.mypaint.brush import BrushFileError as BrushFileError
from spiral_jax.renderers.mypaint.brush import load_brush as load_brush
from spiral_jax.renderers.mypaint.brush import read_brush_text as read_brush_text
from spiral_jax.renderers.mypaint.brush import read_settings as read_settings
from spiral_jax.renderers.mypaint.mypaint import NOISES as NOISES
from spiral_jax.renderers.mypaint.mypaint import VERSIONS as VERSIONS
from spiral_jax.renderers.mypaint.mypaint import MyPaintRenderer as MyPaintRenderer
from spiral_jax.renderers.mypaint.mypaint import available_backends as available_backends
from spiral_jax.types import Stroke as Stroke
