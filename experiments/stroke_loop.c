/* libmypaint's stroke loop without Python in it: what `benchmark render` compares with.

   Brushes and surfaces are made by spiral_jax/renderers/libmypaint.py; this paints one
   stroke on each and copies the canvases out. The few functions are declared here, so
   that the library's headers are not needed. */

#include <stdint.h>
#include <stddef.h>

enum { CALLS = 50, TILE = 64, FIELDS = 13 };

typedef struct { int x, y, width, height; } Rectangle;
typedef struct {
  int tx, ty, readonly;
  uint16_t *buffer;
  void *context;
  int thread_id, mipmap_level;
} TileRequest;

void mypaint_brush_set_base_value(void *brush, int setting, float value);
int mypaint_brush_stroke_to(void *brush, void *surface, float x, float y,
                            float pressure, float xtilt, float ytilt, double seconds);
void mypaint_surface_begin_atomic(void *surface);
void mypaint_surface_end_atomic(void *surface, Rectangle *changed);
void mypaint_tiled_surface_tile_request_start(void *surface, TileRequest *request);
void mypaint_tiled_surface_tile_request_end(void *surface, TileRequest *request);

static void call(void *brush, void *surface, float y, float x, float pressure) {
  mypaint_brush_stroke_to(brush, surface, x, y, pressure, 0, 0, 0.1f);
}

static void copy_tile(void *surface, int ty, int tx, int width, float *canvas) {
  TileRequest request = {tx, ty, 1, NULL, NULL, -1, 0};
  mypaint_tiled_surface_tile_request_start(surface, &request);
  for (int y = 0; y < TILE && ty * TILE + y < width; y++) {
    const uint16_t *from = request.buffer + y * TILE * 4;
    float *to = canvas + ((size_t)(ty * TILE + y) * width + tx * TILE) * 3;
    for (int x = 0; x < TILE && tx * TILE + x < width; x++)
      for (int c = 0; c < 3; c++) to[3 * x + c] = from[4 * x + c] * (1.f / 32768);
  }
  mypaint_tiled_surface_tile_request_end(surface, &request);
}

/* Strokes [count][FIELDS]: pen up, start y x, control y x, end y x, pressure at start and
   end, then the values of the four settings. Canvas [count][width][width][3]. */
void paint_strokes(int count, int width, void **brushes, void **surfaces,
                   const int *settings, const float *strokes, float *canvas) {
  for (int i = 0; i < count; i++, strokes += FIELDS) {
    const float *s = strokes;
    for (int k = 0; k < 4; k++)
      mypaint_brush_set_base_value(brushes[i], settings[k], s[9 + k]);
    Rectangle changed;
    mypaint_surface_begin_atomic(surfaces[i]);
    if (s[0] != 0) call(brushes[i], surfaces[i], s[1], s[2], s[8]);
    for (int k = 1; k <= CALLS; k++) {
      float t = (float)k / CALLS, a = (1 - t) * (1 - t), b = 2 * t * (1 - t), c = t * t;
      call(brushes[i], surfaces[i], a * s[1] + b * s[3] + c * s[5],
           a * s[2] + b * s[4] + c * s[6], s[7] + (s[8] - s[7]) * t);
    }
    mypaint_surface_end_atomic(surfaces[i], &changed);
    float *picture = canvas + (size_t)i * width * width * 3;
    for (int ty = 0; ty * TILE < width; ty++)
      for (int tx = 0; tx * TILE < width; tx++)
        copy_tile(surfaces[i], ty, tx, width, picture);
  }
}
