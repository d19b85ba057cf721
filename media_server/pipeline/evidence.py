"""Was this said? What the recognizer thinks of its words, held against what the speech detector heard."""

from __future__ import annotations

from dataclasses import replace

from media_server.engines.base import Hypothesis, Recognition
from media_server.pipeline.agree import words_of

NO_SPEECH = 0.6
NO_SPEECH_LOGPROB = -1.0

# The mean log probability that words need falls from the one to the other as the voice gets longer and clearer.
NEEDED_WITHOUT_VOICE = -0.35
NEEDED_WITH_VOICE = -1.45
ENOUGH_VOICE_MS = 400
INVENTED_COST = 0.25  # more is needed of words that are often invented
SHORTEST_WORD_MS = 90  # nobody speaks eleven words a second
WORDS_AT_ONCE = 2  # that a window may hold beyond that

COMMIT_LOGPROB = -0.8
"""Two hypotheses that are less sure may agree by chance."""
UNSURE_LOGPROB = -0.45
"""Of partial windows that are less sure two words are held back instead of one."""
SHOW_LOGPROB = -1.0
"""Partial windows that are less sure are mostly wrong."""

# What the recognizer has learnt to write under breath, music and room noise. People say it, too: evidence decides.
_PHRASES = (
    "you|thankyou|thanks|thanksforwatching|thankyouforwatching|thankyouverymuch|bye|byebye|oh|ah|uh|um|hmm|mm|mhm|so|"
    "the|music|applause|laughter|okay|pleasesubscribe|silence|iloveyou|gracias|graciasporverelvideo|merci|obrigado|"
    "subtitlesbytheamaraorgcommunity|soustitragestradiocanada"
)
_OFTEN_INVENTED = frozenset(_PHRASES.split("|"))


def believable(hypothesis: Hypothesis, voiced_ms: int, probability: float) -> bool:
    """Whether these words were said in a window with so much voice, of that mean probability."""
    words = words_of(hypothesis.text)
    if not words:
        return False
    if hypothesis.no_speech_prob > NO_SPEECH and hypothesis.avg_logprob < NO_SPEECH_LOGPROB:
        return False
    if len(words) > WORDS_AT_ONCE + voiced_ms / SHORTEST_WORD_MS:
        return False
    voice = min(1.0, voiced_ms / ENOUGH_VOICE_MS) * probability
    needed = NEEDED_WITHOUT_VOICE + voice * (NEEDED_WITH_VOICE - NEEDED_WITHOUT_VOICE)
    if "".join(word.key for word in words) in _OFTEN_INVENTED:
        needed += INVENTED_COST
    return hypothesis.avg_logprob >= needed


def without_echo(result: Recognition) -> Recognition:
    """Takes off what the recognizer says after the end of the window, in the silence that pads it: mostly the last
    word once more. Its time tokens give such a segment no length.
    """
    english = None if result.english is None else _shortened(result.english)
    return replace(result, transcript=_shortened(result.transcript), english=english)


def _shortened(hypothesis: Hypothesis) -> Hypothesis:
    segments, text = list(hypothesis.segments), hypothesis.text
    while len(segments) > 1 and segments[-1].end_s <= segments[-1].start_s:
        last = segments.pop().text
        if not text.endswith(last):
            return hypothesis
        text = text.removesuffix(last).rstrip()
    return hypothesis if text == hypothesis.text else replace(hypothesis, text=text, segments=tuple(segments))
