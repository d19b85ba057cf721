"""When an utterance is over: how much silence to wait for, by how finished it sounds and reads.

Where a sentence ends cannot be read off the recognizer's punctuation: most fragments that are followed by silence
get a full stop. So punctuation alone never shortens the wait; words that cannot end a sentence lengthen it; what
decides is whether the voice sounds finished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from media_server.pipeline.agree import words_of

# Evidence that the speaker has finished, see EndRule.
WEIGHT_SOUND = 0.25  # for each unit of the turn detector's log odds
WEIGHT_SURE = 10.0  # for each unit of mean log probability above what is typical
WEIGHT_LENGTH = 2.0  # for each unit of the logarithm of the voice's duration, counted from WHOLE_MS
WHOLE_MS = 2000  # utterances get no likelier to be whole beyond this
SHORT_WORDS = 5  # the log probability of fewer words says little
UNHEARD_COST = 0.3  # no turn detector
WAITS = ((-1.0, 1.0), (0.3, 0.85), (0.5, 0.6), (0.7, 0.0))
"""Evidence, and the wait as a share of the way from the shortest to the longest; straight lines between."""
ANSWER_SHARE = 0.15

# Articles, prepositions, conjunctions, possessives and the like: no sentence ends with them.
_DANGLING = {
    "en": "a an the and or but nor if because although though while whereas unless until since than that "
    "which who whom whose of to for from with without into onto at by as about between among against "
    "during through toward towards upon my your his their our its is are was were am be been have "
    "has had will would shall should could can may might must not very so when where what how every "
    "each some any no before after let's i'm we're they're i we they he she it's there's",
    "es": "el la los las un una unos unas y e o u pero ni sino si porque aunque mientras que quien cuyo de "
    "del a al en con sin por para desde hasta hacia entre sobre según mi tu su mis tus sus nuestro "
    "nuestra es son era muy cuando donde como se lo le les me te nos no",
    "fr": "le la les l un une des du de d et ou mais ni si car parce que qui quand où comme à au aux en "
    "dans avec sans pour par sur sous vers chez entre mon ma mes ton ta tes son sa ses notre votre "
    "nos vos leur leurs ce cet cette ces est sont très je tu il nous vous ils ne se",
    "pt": "o a os as um uma uns umas e ou mas nem se porque embora enquanto que quem cujo de do da dos das "
    "em no na nos nas ao à aos às com sem por pelo pela para desde até entre sobre meu minha seu sua "
    "nosso nossa é são muito quando onde como não",
    "it": "il lo la i gli le l un uno una e ed o ma né se perché sebbene mentre che chi cui di del della "
    "dei delle a al alla ai in nel nella con senza per da dal dalla su sul tra fra mio mia tuo tua "
    "suo sua nostro nostra è sono molto quando dove come non si",
    "de": "der die das den dem des ein eine einen einem einer und oder aber denn sondern wenn weil obwohl "
    "während dass von vom zu zum zur in im am bei mit ohne für gegen durch über unter zwischen aus "
    "nach seit mein meine dein sein seine ihr ihre unser unsere ist sind war sehr wo wie ich wir "
    "nicht kein keine",
    "nl": "de het een en of maar want als omdat hoewel terwijl dat die van in op met zonder voor tegen "
    "door over onder tussen uit naar sinds bij mijn jouw zijn haar ons onze is was zeer wanneer waar "
    "hoe ik wij niet geen",
    "pl": "i a albo lub ale ani jeśli bo ponieważ chociaż że który która które z ze w we na do od dla "
    "przez przy po pod nad między mój twój jego jej nasz jest są bardzo kiedy gdzie jak nie się",
    "ca": "el la els les un una uns unes i o però ni si perquè encara que qui de del dels a al als en amb "
    "sense per des fins entre sobre meu seva nostre és són molt quan on com no",
    "gl": "o a os as un unha e ou pero nin se porque que quen de do da dos das en no na con sen por para "
    "desde ata entre sobre meu seu noso é son moi cando onde como non",
}
DANGLING = {language: frozenset(words.replace("'", "").split()) for language, words in _DANGLING.items()}
# Words above that may well end an answer or a question: "I am not." "¿Por qué no?" "Do they?"
_MAY_END = frozenset(
    {
        "not",
        "no",
        "non",
        "não",
        "nicht",
        "niet",
        "nie",
        "so",
        "be",
        "have",
        "is",
        "are",
        "was",
        "were",
        "am",
        "can",
        "before",
        "after",
    }
)

# Said alone they are a whole turn, though a voice seldom falls on them.
_ANSWERS = {
    "en": "yes|no|yeah|yep|nope|okay|ok|sure|right|exactly|thank you|thanks|thank you very much|hello|hi|"
    "good morning|good evening|good afternoon|good night|goodbye|bye|bye bye|of course|not yet|maybe|"
    "please|yes please|no thank you|no thanks|i see|all right|alright|great|good|fine|never|me too|"
    "absolutely|correct|sorry|stop",
    "es": "sí|si|no|vale|claro|gracias|muchas gracias|hola|buenos días|buenas tardes|buenas noches|adiós|"
    "de nada|por supuesto|exacto|por favor|bueno|perfecto|hasta luego|lo siento",
    "fr": "oui|non|d'accord|merci|merci beaucoup|bonjour|bonsoir|salut|au revoir|bien sûr|exactement|"
    "s'il vous plaît|peut-être|voilà|pardon|bonne nuit",
    "pt": "sim|não|obrigado|obrigada|olá|oi|bom dia|boa tarde|boa noite|tchau|claro|exato|por favor|"
    "está bem|até logo",
    "it": "sì|si|no|grazie|grazie mille|ciao|buongiorno|buonasera|buonanotte|arrivederci|certo|esatto|"
    "va bene|prego|per favore",
    "de": "ja|nein|danke|vielen dank|hallo|guten tag|guten morgen|guten abend|tschüss|auf wiedersehen|"
    "genau|klar|bitte|natürlich|vielleicht|gut",
}
ANSWERS = {
    language: frozenset("".join(word.key for word in words_of(phrase)) for phrase in phrases.split("|"))
    for language, phrases in _ANSWERS.items()
}


class Reading(Enum):
    """What the words say about the end."""

    FINISHED = "finished"
    ANSWER = "answer"
    OPEN = "open"
    DANGLING = "dangling"


READING_COST = {Reading.FINISHED: 0.0, Reading.ANSWER: 0.0, Reading.OPEN: 3.0, Reading.DANGLING: 4.0}


def reading(text: str, language: str) -> Reading:
    """How the text of a window that ends in silence reads."""
    words = words_of(text)
    if not words:
        return Reading.OPEN
    if "".join(word.key for word in words) in ANSWERS.get(language, frozenset()):
        return Reading.ANSWER
    last = words[-1]
    stop = last.trail.rstrip("\"'”’»)]")[-1:]
    ellipsis = last.trail.startswith(("...", "…"))
    if last.key in DANGLING.get(language, frozenset()):
        may_end = last.key in _MAY_END and (stop == "?" or len(words) > 1)
        return Reading.OPEN if may_end else Reading.DANGLING
    if ellipsis or not stop or stop not in ".?!。？！":
        return Reading.OPEN
    return Reading.FINISHED


def _between(evidence: float) -> float:
    """The share of the longest wait that this much evidence leaves."""
    below = WAITS[0]
    for above in WAITS:
        if evidence < above[0]:
            if above is below:
                break
            step = (evidence - below[0]) / (above[0] - below[0])
            return below[1] + step * (above[1] - below[1])
        below = above
    return below[1]


@dataclass(frozen=True, slots=True)
class EndRule:
    """``min_ms`` and ``max_ms``: the shortest and the longest silence that ends an utterance.

    The evidence is a sum: how finished it sounds (log odds of the turn detector), how sure the recognizer is of its
    words compared with what is typical for this speaker (of a text that stops in the middle it is less sure than of
    a whole sentence), how the text reads, and how long the speaker has spoken: what is broken off is mostly short.
    Weights were fitted to 60 sentences of a synthetic voice, whole and broken off between words at random: two of
    three ends get the shortest wait, one of fifteen breaks does.
    """

    min_ms: int
    max_ms: int

    def hangover_ms(self, text: str, language: str, turn: float | None, surplus: float, voice_ms: int) -> int:
        """Silence to wait for. ``turn``: how finished it sounds, None where nobody can tell; ``surplus``: mean log
        probability of the text's tokens above what is typical; ``voice_ms``: how much voice there was.
        """
        read = reading(text, language)
        if read is Reading.ANSWER:
            return self._share(ANSWER_SHARE)
        count = len(words_of(text))
        if not count:
            return self.max_ms
        evidence = WEIGHT_SURE * surplus * min(1.0, count / SHORT_WORDS) - READING_COST[read]
        evidence += WEIGHT_LENGTH * math.log(min(max(voice_ms, 1), WHOLE_MS) / WHOLE_MS)
        if turn is None:
            evidence -= UNHEARD_COST
        else:
            evidence += WEIGHT_SOUND * math.log((turn + 0.001) / (1.001 - turn))
        return self._share(_between(evidence))

    def _share(self, share: float) -> int:
        return round(self.min_ms + share * (self.max_ms - self.min_ms))
