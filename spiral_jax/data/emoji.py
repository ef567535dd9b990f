"""Fluent flat emoji (Microsoft): colour pictures that come with the package."""

import re
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spiral_jax.data.arrays import image_of
from spiral_jax.data.decoding import as_shown
from spiral_jax.data.groups import digest, hold_out
from spiral_jax.data.images import Dataset
from spiral_jax.documents import read_arrays

EMOJI = Path(str(resources.files("spiral_jax.data") / "fluent_emoji" / "emoji.npz"))
WIDTHS = (32, 64)  # that are stored
NUM_TEST = 180
# Stems with more pictures are for training: one of them would be most of the test set.
LARGEST_TEST_STEM = 15

# Pictures that are variants of each other under names that share no word: those whose
# name matches a pattern are of that stem, the first one counts. They were found by
# looking at the pictures; the source draws a person for `factory`.
STEMS: dict[str, str] = {
    "cat": "cat|tiger|leopard|lion",
    "person": (
        r"man|woman|person|people|boy|girl|child|worker|factory|busts?|breast-feeding|"
        r"baby(?!-chick|-bottle)|artist|astronaut|cook|detective|farmer|firefighter|"
        r"guard|judge|mechanic|officer|pilot|prince|princess|scientist|singer|student|"
        r"teacher|technologist|claus|goblin|ogre|ninja|troll|skier|snowboarder|selfie|"
        r"horse-racing|wedding|manual-wheelchair|motorized-wheelchair"
    ),
    "moon": "moon",
    "face": "face|exploding-head|head-shaking|star-struck|rolling-on-the-floor-laughing",
    "heart": "hearts?",
    "hand": (
        r"hands?|fist|fingers?|thumbs|palms?(?!-tree)|gesture|backhand|salute|horns|"
        r"index-pointing|handshake|biceps|hamsa"
    ),
    "clock": "clock|oclock|thirty|watch|stopwatch",
    "sign": (
        r"sign|symbol|button|keycap|input|mark|arrows?|room|restroom|water-closet|"
        r"information|no-(?!evil)[\w-]+|potable-water|luggage|claim|customs|"
        r"passport-control|aquarius|aries|cancer|capricorn|gemini|leo|libra|ophiuchus|"
        r"pisces|sagittarius|scorpio|taurus|virgo|antenna-bars|biohazard|radioactive|"
        r"cinema|circled-m|copyright|registered|children-crossing|elevator|metro|"
        r"wireless|vibration-mode|mobile-phone|place-of-worship|khanda|menorah|om|cross|"
        r"yin-yang|wheel-of-dharma|star-and-crescent|star-of-david|six-pointed-star|"
        r"eight-pointed-star|asterisk|sparkle|loop|plus|minus|multiply|divide|infinity|"
        r"prohibited|currency-exchange|wavy-dash|diamond-with-a-dot"
    ),
    "shape": "circle|square|diamond|triangle|coin|dvd|disk|red-envelope",
    "suit of cards": "suit|joker",
    "flag": "flags?",
    "weather": "sun|cloud|snowflake|rainbow|comet|star|dizzy|sparkles",
    "speech": "speech|thought-balloon|anger-bubble",
    "cattle": "ox|water-buffalo|cow|bison",
    "sheep": "ewe|ram|goat|llama",
    "bread": "flatbread|cookie|bagel|bread|pancakes|waffle",
    "ball": r"\w*ball",
    "lock": "locked|unlocked",
    "fireworks": "fireworks|sparkler|firecracker",
    "town": "cityscape|night|bridge|fog|foggy|sunset|sunrise",
    "paper": "page|notepad|memo|receipt|scroll|clipboard|calendar|newspaper",
    "mountain": "mount|mountains?|volcano",
    "train": "train|tram|tramway|railway|monorail|light-rail|locomotive",
    "car": "car|automobile|taxi|sport-utility-vehicle",
    "bus": r"\w*bus",
    "boat": r"\w*boat|canoe|ship|ferry",
    "tent": "tent|camping",
    "glasses": "glasses|sunglasses|goggles",
    "pen": "pen|pencil|crayon|paintbrush|nib",
    "umbrella": "umbrella|beach",
}
# What comes after these words is a small part of the picture.
_DETAIL = re.compile(r"-(?:with|without|in|on|at)-.*")
# Words that say how a thing is, not what it is.
_QUALITIES = frozenset(
    """
    a and at behind for in not of off on over the to with without
    1st 2nd 3rd one two three four five six seven eight nine ten eleven twelve first last
    black blue brown green grey orange pink purple red white yellow light
    large medium small heavy high low big full half new old open closed double fast hot
    cold free left right up down upwards downwards leftwards rightwards front back top
    facing vertical horizontal oncoming broken raised crossed flying playing showing
    pointing tilted folding hollow hard soft paper japanese latin tropical military
    medical musical mechanical field motor decoration game mobile police office love stop
    money head baby mans womans
    """.split()  # noqa: SIM905
)


class NamedImages(NamedTuple):
    """Pictures `[N, H, W, C]` uint8, and what they are called, N names."""

    images: np.ndarray
    names: tuple[str, ...]


def load_emoji(canvas_width: int, *, use_color: bool = True) -> Dataset:
    """Loads the emoji that come with the package, on white.

    Args:
      canvas_width: 32 and 64 px are stored; others are resized (bilinear) from 64 px.
      use_color: colour, or grey.

    Returns:
      Training and test `NamedImages`, `[N, canvas_width, canvas_width, 1 or 3]`; no test
      picture is a variant of a training picture, see `held_out`.
    """
    arrays = read_arrays(EMOJI)
    width = canvas_width if canvas_width in WIDTHS else max(WIDTHS)
    images = dict(zip(arrays["names"].tolist(), arrays[f"images_{width}"]))
    test = held_out(list(images))
    train = sorted(images.keys() - set(test), key=digest)
    channels = 3 if use_color else 1
    shown = lambda image: as_shown(image_of(image), canvas_width, channels=channels)
    return Dataset(
        *(
            NamedImages(np.stack([shown(images[name]) for name in names]), tuple(names))
            for names in (train, test)
        )
    )


def held_out(names: Sequence[str]) -> list[str]:
    """Chooses test pictures by their stems, so that all variants of one are among them.

    Stems in the order of their hashes, those with more than `LARGEST_TEST_STEM` pictures
    left out, until there are at least `NUM_TEST` pictures.

    Args:
      names: of all pictures.

    Returns:
      Names in an order of hashes: any first few are a fair sample.
    """
    stems = find_stems(names)
    test = hold_out([stems[name] for name in names], NUM_TEST, LARGEST_TEST_STEM)
    return sorted((name for name, held in zip(names, test) if held), key=digest)


def find_stems(names: Sequence[str]) -> dict[str, str]:
    """Finds which pictures are variants of each other, by their names alone.

    A name that matches a pattern of `STEMS` is of that stem. Any two others that share a
    word are of the same stem; words for qualities (colours, sizes, directions, numbers)
    and what comes after "with" do not count, and plurals count as singulars.

    Args:
      names: such as "alarm-clock"; all of them, as others in between connect two.

    Returns:
      The stem of each name.
    """
    known = set(names)
    words = {name: _words(name, known) for name in names}
    leader: dict[str, str] = {}

    def lead(word: str) -> str:
        while leader.setdefault(word, word) != word:
            word = leader[word]
        return word

    for found in words.values():
        for word in found[1:]:
            leader[lead(word)] = lead(found[0])
    members: dict[str, Counter] = {}
    for found in words.values():
        members.setdefault(lead(found[0]), Counter()).update(found)
    # Called by the word that most of its names have.
    called = {
        first: min(counts, key=lambda word: (-counts[word], word))
        for first, counts in members.items()
    }
    return {name: called[lead(found[0])] for name, found in words.items()}


def _words(name: str, known: set[str]) -> list[str]:
    """Returns the words that connect a name to others; those of `STEMS` are alone."""
    animal = name.removesuffix("-face")  # cat-face, if there is a cat
    name = animal if animal in known else name
    short = _DETAIL.sub("", name)
    for stem, pattern in STEMS.items():
        if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", short):
            return [stem]
    words = [word for word in short.split("-") if word not in _QUALITIES]
    return [_singular(word) for word in words] or [short]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and re.search("[^s]s$", word) else word
