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
