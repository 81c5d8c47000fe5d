"""Sentences that name a goal: templates and words of the splits, of which the test has its own.

Every phrase and every template of the validation and test splits holds a word that no phrase or template of training
has; a test holds that. Most such words share a stem with one that training knows, as an embedding of sub-words needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STREAM = 0x73656E74

Phrases = dict[str, tuple[str, ...]]

PHRASES: dict[str, Phrases] = {
    "train": {
        "telephone": ("telephone", "ringing telephone", "telephone bell"),
        "alarm_beeps": ("alarm", "beeping alarm", "alarm beep"),
        "kettle": ("kettle", "boiling kettle", "whistling kettle"),
        "vacuum": ("vacuum", "vacuum cleaner", "humming vacuum"),
        "engine": ("engine", "running engine", "motor"),
        "clock": ("clock", "ticking clock", "tick of the clock"),
        "speech": ("speech", "talking person", "voice"),
        "dripping": ("dripping tap", "dripping", "drip"),
        "knocking": ("knocking", "knock at the door", "knocking hand"),
        "applause": ("applause", "clapping hands", "clapping"),
        "water": ("water", "running water", "flowing water"),
        "music": ("music", "playing music", "melody"),
    },
    "validation": {
        "telephone": ("telephones", "phone that rings"),
        "alarm_beeps": ("alarms", "beeps of an alarm"),
        "kettle": ("kettles", "boiled kettle"),
        "vacuum": ("vacuums", "vacuum cleaning"),
        "engine": ("engine's hum", "loud engine"),
        "clock": ("clocks", "ticks of a clock"),
        "speech": ("speeches", "voice of a man"),
        "dripping": ("drip of a pipe", "steady dripping"),
        "knocking": ("knocked door", "loud knock"),
        "applause": ("loud applause", "clap"),
        "water": ("water in a basin", "flow of water"),
        "music": ("loud music", "melodies"),
    },
    "test": {
        "telephone": ("ringing phone", "phone", "smartphone"),
        "alarm_beeps": ("beeper", "bleeping alarms", "alarm's warning"),
        "kettle": ("tea kettle", "teakettle", "kettle's whistle"),
        "vacuum": ("vacuuming", "noisy vacuum", "vacuumer"),
        "engine": ("engines", "idling motors", "motorised thing"),
        "clock": ("clockwork", "wall clock", "tick-tock clock"),
        "speech": ("voices", "speaker who talks", "talk of somebody"),
        "dripping": ("drips", "dripping faucet", "droplets that drip"),
        "knocking": ("knocks", "door knocker", "somebody's knocking"),
        "applause": ("applauding crowd", "claps", "clapping audience"),
        "water": ("waters", "water stream", "watery flow"),
        "music": ("musician", "musical tune", "melodic music"),
    },
}

# {goal} is what is to be found, {other} something else that can be heard.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "train": (
        "go to the {goal}",
        "find the {goal}",
        "drive to the {goal}",
        "look for the {goal}",
        "take me to the {goal}",
        "where is the {goal}? go there",
        "go to the {goal}, not the {other}",
        "find the {goal}, ignore the {other}",
        "ignore the {other}, go to the {goal}",
        "not the {other} but the {goal}",
        "drive to the {goal}, not to the {other}",
    ),
    "validation": (
        "move to the {goal}",
        "search for the {goal}",
        "move to the {goal}, not the {other}",
        "skip the {other}, search for the {goal}",
    ),
    "test": (
        "head towards the {goal}",
        "I want you next to the {goal}",
        "get close to the {goal} please",
        "stop beside the {goal}",
        "head for the {goal} instead of the {other}",
        "avoid the {other} and approach the {goal}",
        "approach the {goal}, never the {other}",
        "rather than the {other}, reach the {goal}",
    ),
}

# What is none of the kinds, though some of it sounds, or is called, a little like one. What a person may well mean one
# of them by (a child, a piano, a river, a lorry) is in no list.
OTHER_THINGS: dict[str, tuple[str, ...]] = {
    "train": (
        "wardrobe", "shelf", "bookcase", "mirror", "carpet", "curtain", "pillow", "blanket", "bucket", "broom",
        "bottle", "glass", "plate", "spoon", "knife", "fork", "pan", "oven", "freezer", "cupboard", "drawer", "desk",
        "chair", "computer", "laptop", "screen", "cable", "charger", "battery", "socket", "heater", "radiator", "vent",
        "air conditioner", "iron", "hammer", "saw", "scooter", "boat", "ship", "horse", "cow", "sheep", "pig", "goat",
        "chicken", "duck", "goose", "frog", "cricket", "bee", "mosquito", "owl", "crow", "pigeon", "squeaking mouse",
        "hail", "wind", "storm", "campfire", "explosion", "gunshot", "breaking glass", "screaming", "sneeze", "hiccup",
        "yawning", "chewing", "hall", "corridor", "bedroom", "bathroom", "office", "garage", "garden", "balcony",
        "entrance", "exit", "corner", "wall", "floor", "ceiling", "roof", "home", "dock", "base", "parcel", "bag",
        "box", "book", "newspaper", "flower", "tree", "grass", "apple", "bread", "coffee", "milk", "sugar", "basket",
        "rubbish bin", "paint", "ladder", "rope", "wheel", "chain", "gate", "fence", "lock", "key", "coin", "clothes",
        "shoe", "hat", "coat", "towel", "soap", "brush", "comb", "razor", "toothbrush", "scissors", "needle", "ball",
        "doll", "puzzle", "toy", "balloon", "candle", "lighter", "doorbell", "church bell", "bicycle bell",
        "coffee machine", "water bottle", "teapot", "engineer", "handle", "front door", "door mat", "music stand",
        "handbag",
    ),
    "validation": (
        "intercom", "footsteps", "hair dryer", "cat", "window", "sofa", "kitchen", "charging station", "fridge",
        "washing machine", "television", "lamp", "table", "blue ball", "robot", "stairs", "bed", "plant", "printer",
        "thunder", "rain", "coughing", "snoring", "laughter", "blender", "sewing machine", "fan", "dishwasher",
        "microwave", "toaster", "elevator", "pram", "firework", "helicopter", "tent", "postman's bag",
    ),
    "test": (
        "birdsong", "typing", "siren", "crying", "sizzling", "barking", "dog", "bird", "keyboard", "cradle", "armchair",
        "dining room", "cellar", "loading bay", "suitcase", "umbrella", "vase", "picture", "backpack", "wheelchair",
        "zip", "camera", "spider", "rabbit", "aeroplane", "popcorn", "mixer", "hedgehog", "scale", "cash register",
        "whiteboard", "pot of soup", "red cube", "pen", "bowl", "thermostat",
    ),
}  # fmt: skip
# Whole sentences that name nothing that sounds.
OTHER_ORDERS: dict[str, tuple[str, ...]] = {
    "train": (
        "stop", "wait", "turn left", "turn around", "go back", "drive forwards", "go straight ahead", "be careful",
        "go away", "come closer", "come over here", "look at me", "follow him", "follow her", "hurry up", "slow down",
        "say hello", "bring me a drink", "what time is it", "clean the floor", "take a picture", "go and charge",
        "watch out", "leave the room", "open your eyes", "look around",
    ),
    "validation": (
        "come to where I am", "escort me", "good morning", "turn right", "move backwards", "stay where you are",
        "make a cup of coffee", "how are you", "drive faster", "wait outside",
    ),
    "test": (
        "come with me", "hold still", "rotate on the spot", "good evening", "return to me", "go upstairs",
        "bring the post", "thank you", "be quick", "halt at once",
    ),
}  # fmt: skip


def draw_sentence(split: str, goal: str, others: Sequence[str], seed: int) -> str:
    """Draw a sentence that names a kind of sound.

    Args:
        split: whose templates and phrases.
        goal: the kind, a key of `PHRASES[split]`.
        others: kinds that can be heard besides; templates that name another are left out where there is none.
        seed: of the episode: the same seed gives the same sentence.

    Raises:
        KeyError: no phrase is known for a kind.
    """
    rng = np.random.Generator(np.random.PCG64([_STREAM, seed]))
    different = [kind for kind in others if kind != goal]
    templates = [text for text in TEMPLATES[split] if different or "{other}" not in text]
    template = templates[int(rng.integers(len(templates)))]
    named = {"goal": goal, "other": different[int(rng.integers(len(different)))] if different else goal}
    phrases = {role: PHRASES[split][kind] for role, kind in named.items()}
    return template.format_map({role: known[int(rng.integers(len(known)))] for role, known in phrases.items()})
