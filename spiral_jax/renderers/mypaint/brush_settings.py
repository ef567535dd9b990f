"""Which settings brushes have, and what is modelled of them."""

INPUTS = ("pressure", "speed1", "speed2")

# Every setting of libmypaint 1.6 and its default (`mypaint_brush_setting_info`), as a
# file may leave any out. Beyond those in `MAPPED` and `CONSTANT`, which are modelled,
# the default is the value at which a setting does nothing; so is 0 of those that later
# libraries may have.
DEFAULTS = {
    "anti_aliasing": 1.0, "change_color_h": 0.0, "change_color_hsl_s": 0.0,
    "change_color_hsv_s": 0.0, "change_color_l": 0.0, "change_color_v": 0.0,
    "color_h": 0.0, "color_s": 0.0, "color_v": 0.0, "colorize": 0.0,
    "custom_input": 0.0, "custom_input_slowness": 0.0, "dabs_per_actual_radius": 2.0,
    "dabs_per_basic_radius": 0.0, "dabs_per_second": 0.0, "direction_filter": 2.0,
    "elliptical_dab_angle": 90.0, "elliptical_dab_ratio": 1.0, "eraser": 0.0,
    "gridmap_scale": 0.0, "gridmap_scale_x": 1.0, "gridmap_scale_y": 1.0,
    "hardness": 0.8, "lock_alpha": 0.0, "offset_angle": 0.0, "offset_angle_2": 0.0,
    "offset_angle_2_asc": 0.0, "offset_angle_2_view": 0.0, "offset_angle_adj": 0.0,
    "offset_angle_asc": 0.0, "offset_angle_view": 0.0, "offset_by_random": 0.0,
    "offset_by_speed": 0.0, "offset_by_speed_slowness": 1.0, "offset_multiplier": 0.0,
    "offset_x": 0.0, "offset_y": 0.0, "opaque": 1.0, "opaque_linearize": 0.9,
    "opaque_multiply": 0.0, "paint_mode": 1.0, "posterize": 0.0, "posterize_num": 0.05,
    "pressure_gain_log": 0.0, "radius_by_random": 0.0, "radius_logarithmic": 2.0,
    "restore_color": 0.0, "slow_tracking": 0.0, "slow_tracking_per_dab": 0.0,
    "smudge": 0.0, "smudge_bucket": 0.0, "smudge_length": 0.5, "smudge_length_log": 0.0,
    "smudge_radius_log": 0.0, "smudge_transparency": 0.0, "snap_to_pixel": 0.0,
    "speed1_gamma": 4.0, "speed1_slowness": 0.04, "speed2_gamma": 4.0,
    "speed2_slowness": 0.8, "stroke_duration_logarithmic": 4.0, "stroke_holdtime": 0.0,
    "stroke_threshold": 0.0, "tracking_noise": 0.0,
}  # fmt: skip
DEFAULT_MAPS = {"opaque_multiply": {"pressure": ((0.0, 0.0), (1.0, 1.0))}}

# What is modelled: settings that may depend on pressure and speed, others that may not.
MAPPED = (
    *("anti_aliasing", "hardness", "offset_by_random", "opaque", "opaque_multiply"),
    *("radius_by_random", "radius_logarithmic", "slow_tracking_per_dab"),
)
CONSTANT = (
    *("dabs_per_actual_radius", "dabs_per_basic_radius", "dabs_per_second"),
    *("opaque_linearize", "slow_tracking", "speed1_gamma", "speed1_slowness"),
    *("speed2_gamma", "speed2_slowness"),
)

# Settings that change nothing while the features they tune are off: the colour comes with
# every stroke, paper is opaque, dabs are round, all colours of the 1.3 and 1.6 libraries
# mix alike; custom, direction, grid and stroke inputs are refused.
WITHOUT_EFFECT = frozenset({
    "color_h", "color_s", "color_v", "custom_input", "custom_input_slowness",
    "direction_filter", "elliptical_dab_angle", "gridmap_scale", "gridmap_scale_x",
    "gridmap_scale_y", "lock_alpha", "offset_angle_adj", "offset_by_speed_slowness",
    "offset_multiplier", "paint_mode", "posterize_num", "restore_color",
    "smudge_bucket", "smudge_length", "smudge_length_log", "smudge_radius_log",
    "smudge_transparency", "stroke_duration_logarithmic", "stroke_holdtime",
    "stroke_threshold",
})  # fmt: skip
