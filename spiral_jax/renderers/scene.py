"""The scene renderer: MuJoCo draws objects that stand on a plane.

One camera looks down at 45 degrees; two lights, one of which may cast shadows. mujoco is
imported when the first renderer is made, not with this module.
"""

import atexit
import ctypes.util
import os
import sys
import threading
import weakref
from types import ModuleType

import numpy as np

from spiral_jax.language import SHAPES
from spiral_jax.types import Objects

MAX_OBJECTS = 20
PACKAGES = "libegl1 libgl1-mesa-dri libglx-mesa0, or libosmesa6"
# The ground that the camera sees, in world units: as deep as foreshortening makes look
# nearly square, with room for tall objects at the back.
GROUND_WIDTH, GROUND_DEPTH = 16.0, 20.0

# Two threads in GL at once have crashed the process (Mesa's llvmpipe, inside mjr_render,
# about once in some minutes), and were hardly faster than one: docs/scenes.md.
_GL = threading.Lock()

# Half sizes as MuJoCo takes them, and height of the centre, for radius 1. Chosen so that
# the four differ at 64 px: a box shows a face and a top, a cylinder is narrower, a
# capsule narrower still and taller.
_SIZES = np.array([[0.85, 0.85, 0.85], [1, 0, 0], [0.75, 1, 0], [0.5, 0.75, 0]])
_HEIGHTS = np.array([0.85, 1.0, 1.0, 1.25])

# A far camera with a narrow view: cells at the back look hardly smaller. The directions
# of the lights are those with the least speckle of self-shadowing among the ones tried.
# `statistic` is fixed because MuJoCo derives clipping and shadow planes from it, and
# would otherwise take it from the objects.
_WORLD = """<mujoco model="spiral_jax scene">
  <visual>
    <global offwidth="{width}" offheight="{width}"/>
    <quality shadowsize="{shadow_width}" offsamples="0"/>
    <headlight ambient="0.3 0.3 0.3" diffuse="0 0 0" specular="0 0 0"/>
    <map znear="0.5" zfar="10" shadowclip="1"/>
  </visual>
  <statistic center="0 0 0" extent="14"/>
  <worldbody>
    <camera name="camera" pos="0 -40.8 42.4" xyaxes="1 0 0 0 1 1" fovy="17.2"/>
    <light directional="true" pos="-10 -2 20" dir="0.5 0.1 -1" castshadow="{shadows}"
      diffuse="0.55 0.55 0.55" specular="0.3 0.3 0.3"/>
    <light directional="true" pos="16 -10 20" dir="-0.8 0.5 -1" castshadow="false"
      diffuse="0.2 0.2 0.2" specular="0 0 0"/>
    <geom name="ground" type="plane" size="60 60 1" rgba="0.6 0.6 0.6 1"/>
{objects}
  </worldbody>
</mujoco>
"""


class NoGLError(ValueError):
    """MuJoCo cannot draw on this machine; says what to install."""


class SceneRenderer(threading.local):
    """Draws scenes, one after the other, into pictures of one width.

    Each thread that uses the renderer has a compiled model and a GL context of its own,
    because a context belongs to one thread: `threading.local` runs `__init__` again in
    each of them, and drops a thread's attributes, which closes its context, when the
    thread ends.

    Attributes:
      gl: name of the GL implementation; pictures of two may differ in single pixels.
    """

    def __init__(self, canvas_width: int, shadows: bool):
        """Compiles the world and makes a context.

        Args:
          canvas_width: W in px.
          shadows: whether objects cast shadows; under software GL they take three
            quarters of the time (docs/scenes.md).

        Raises:
          NoGLError: there is no GL that needs no screen.
        """
        self._mujoco = mujoco = load_mujoco()
        # All objects that a scene may have are declared once, and rewritten for each.
        hidden = '    <geom type="sphere" size="1" rgba="0 0 0 0"/>'
        self._model = mujoco.MjModel.from_xml_string(
            _world("\n".join([hidden] * MAX_OBJECTS), canvas_width, shadows)
        )
        # Otherwise MuJoCo takes the geoms for where they were when compiled.
        self._model.geom_sameframe[:] = 0
        self._data = mujoco.MjData(self._model)
        self._types = np.array(
            [getattr(mujoco.mjtGeom, f"mjGEOM_{shape.upper()}") for shape in SHAPES]
        )
        try:
            with _GL:
                self._renderer = mujoco.Renderer(self._model, canvas_width, canvas_width)
            _close_at_exit(self._renderer)
            from OpenGL import GL  # a dependency of mujoco

            self.gl = GL.glGetString(GL.GL_RENDERER).decode()
        except Exception as error:  # each GL platform raises another kind
            raise _no_gl(error) from error

    def render(self, objects: Objects) -> np.ndarray:
        """Draws each scene: `[B, W, W, 3]` uint8, fresh arrays."""
        width = self._renderer.width
        pictures = np.empty((len(objects.count), width, width, 3), np.uint8)
        for i, picture in enumerate(pictures):
            self._arrange(Objects(*(field[i] for field in objects)))
            self._renderer.update_scene(self._data, camera="camera")
            with _GL:
                self._renderer.render(out=picture)
        return pictures

    def _arrange(self, scene: Objects) -> None:
        """Writes one scene (no batch axis) over the model's geoms."""
        model, mujoco = self._model, self._mujoco
        places = slice(1, 1 + len(scene.shape))  # geom 0 is the ground
        sizes, positions = _geometry(scene)
        model.geom_type[places] = self._types[scene.shape]
        model.geom_size[places] = sizes
        model.geom_pos[places] = positions
        model.geom_rgba[places, :3] = scene.color
        # What is wholly transparent is not drawn at all.
        model.geom_rgba[1:, 3] = np.arange(MAX_OBJECTS) < scene.count
        mujoco.mj_kinematics(model, self._data)
        mujoco.mj_camlight(model, self._data)

    def close(self) -> None:
        """Frees the calling thread's context; the thread cannot render after that."""
        self._renderer.close()


def scene_to_mjcf(scene: Objects, canvas_width: int, shadows: bool) -> str:
    """Writes one scene (no batch axis) as MJCF: a free body for each object.

    Its camera "camera" sees the picture that `SceneRenderer` draws; physics starts with
    the first step.
    """
    bodies = []
    for i, (size, position) in enumerate(zip(*_geometry(scene))):
        if i == scene.count:
            break
        shape = SHAPES[scene.shape[i]]
        bodies.append(
            f'    <body name="object{i}" pos="{_numbers(position)}">\n'
            "      <freejoint/>\n"
            f'      <geom type="{shape}" size="{_numbers(size)}" '
            f'rgba="{_numbers(scene.color[i])} 1"/>\n'
            "    </body>"
        )
    return _world("\n".join(bodies), canvas_width, shadows)


def _world(objects: str, canvas_width: int, shadows: bool) -> str:
    return _WORLD.format(
        objects=objects,
        width=canvas_width,
        shadow_width=4 * canvas_width,
        shadows=str(shadows).lower(),
    )


def _geometry(scene: Objects) -> tuple[np.ndarray, np.ndarray]:
    """Returns MuJoCo's sizes and positions (x, y, z), `[M, 3]` float64 each."""
    sizes = _SIZES[scene.shape] * scene.radius[:, None]
    heights = _HEIGHTS[scene.shape] * scene.radius
    y, x = scene.position.T
    return sizes, np.stack([x, y, heights], axis=1)


def _numbers(values: np.ndarray) -> str:
    """Writes numbers so that they are read back exactly."""
    return " ".join(repr(float(value)) for value in values)


_open_renderers = weakref.WeakSet()


def _close_at_exit(renderer) -> None:
    # mujoco ends its GL display at exit, by a handler of its first context; ours must
    # run before it. What is left to the interpreter's teardown fails there.
    _open_renderers.add(renderer)
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def _close_all() -> None:
    for renderer in list(_open_renderers):
        renderer.close()


def load_mujoco() -> ModuleType:
    """Imports mujoco, with a GL that needs no screen.

    Raises:
      NoGLError: there is none.
    """
    # Library code reads no environment variables, but mujoco takes its GL platform from
    # this one alone, at its import. What the user has set stands; so does a mujoco that
    # is imported already.
    if sys.platform == "linux" and "mujoco" not in sys.modules:
        libraries = {"egl": "EGL", "osmesa": "OSMesa"}
        found = [k for k, v in libraries.items() if ctypes.util.find_library(v)]
        if not os.environ.get("MUJOCO_GL"):
            if not found:
                raise _no_gl("neither libEGL nor libOSMesa is installed")
            os.environ["MUJOCO_GL"] = found[0]
    try:
        import mujoco
    except Exception as error:
        raise _no_gl(error) from error
    return mujoco


def _no_gl(reason: object) -> NoGLError:
    return NoGLError(
        f"MuJoCo cannot draw: {reason} (MUJOCO_GL={os.environ.get('MUJOCO_GL')!r}). "
        f"Scenes need a GL that works without a screen; Debian, Ubuntu: apt install "
        f"{PACKAGES}; then MUJOCO_GL=egl or MUJOCO_GL=osmesa, or leave it unset."
    )
