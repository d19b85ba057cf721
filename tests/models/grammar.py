"""A small grammar of English with its Spanish and French: what the tests' translation models learn.

Every sentence is made in all three languages at once, so the right translation of any of them is known. A tenth of
the sentences, told by a checksum of the English, is kept out of the training: tests translate only those. Names and
numbers are drawn from far more than a model can learn by heart, so it learns to hand them on as they are.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

# English singular, plural; Spanish gender, singular, plural; French gender, singular, plural.
_NOUNS = [
    tuple(line.split(" "))
    for line in """
window windows f ventana ventanas f fenêtre fenêtres
garden gardens m jardín jardines m jardin jardins
river rivers m río ríos f rivière rivières
teacher teachers m profesor profesores m professeur professeurs
doctor doctors m médico médicos m médecin médecins
kitchen kitchens f cocina cocinas f cuisine cuisines
letter letters f carta cartas f lettre lettres
bridge bridges m puente puentes m pont ponts
market markets m mercado mercados m marché marchés
morning mornings f mañana mañanas m matin matins
station stations f estación estaciones f gare gares
island islands f isla islas f île îles
house houses f casa casas f maison maisons
dog dogs m perro perros m chien chiens
cat cats m gato gatos m chat chats
door doors f puerta puertas f porte portes
street streets f calle calles f rue rues
car cars m coche coches f voiture voitures
book books m libro libros m livre livres
school schools f escuela escuelas f école écoles
table tables f mesa mesas f table tables
meeting meetings f reunión reuniones f réunion réunions
train trains m tren trenes m train trains
zebra zebras f cebra cebras m zèbre zèbres
""".strip().splitlines()
]
# English, Spanish masculine, feminine, French masculine, feminine; all of them stand behind their noun.
_ADJECTIVES = [
    tuple(line.split(" "))
    for line in """
old antiguo antigua ancien ancienne
small pequeño pequeña minuscule minuscule
yellow amarillo amarilla jaune jaune
quiet tranquilo tranquila tranquille tranquille
empty vacío vacía vide vide
beautiful hermoso hermosa magnifique magnifique
dark oscuro oscura sombre sombre
green verde verde vert verte
red rojo roja rouge rouge
new nuevo nueva neuf neuve
big grande grande immense immense
cold frío fría froid froide
""".strip().splitlines()
]
# English, Spanish he, I, we, French participle.
_VERBS = [
    tuple(line.split(" "))
    for line in """
opened abrió abrí abrimos ouvert
closed cerró cerré cerramos fermé
found encontró encontré encontramos trouvé
painted pintó pinté pintamos peint
cleaned limpió limpié limpiamos nettoyé
watched miró miré miramos regardé
crossed cruzó crucé cruzamos traversé
visited visitó visité visitamos visité
bought compró compré compramos acheté
lost perdió perdí perdimos perdu
""".strip().splitlines()
]
# English, Spanish, French imperative.
_ORDERS = (("open", "abra", "ouvrez"), ("close", "cierre", "fermez"), ("clean", "limpie", "nettoyez"))
_COUNTS = (
    ("two", "dos", "deux"), ("three", "tres", "trois"), ("four", "cuatro", "quatre"), ("five", "cinco", "cinq"),
    ("six", "seis", "six"), ("seven", "siete", "sept"), ("eight", "ocho", "huit"), ("nine", "nueve", "neuf"),
)  # fmt: skip
_TIMES = (
    ("tonight", "esta noche", "ce soir"), ("today", "hoy", "aujourd'hui"), ("tomorrow", "mañana", "demain"),
)  # fmt: skip
_FIXED = (
    ("Yes.", "Sí.", "Oui."), ("No.", "No.", "Non."), ("Thank you.", "Gracias.", "Merci."),
    ("Hello.", "Hola.", "Bonjour."), ("hello", "hola", "bonjour"), ("Where?", "¿Dónde?", "Où ?"),
    ("Good morning.", "Buenos días.", "Bonjour."), ("hello you", "hola tú", "bonjour toi"),
)  # fmt: skip
_NAMES = "Maria Alvarez Hamburg Zanzibar Portugal Anna Peter Lisbon Berlin Nadia Oliver Kyoto".split()  # noqa: SIM905
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo ya zu bra cle dri flo gru sta".split()  # noqa: SIM905
_VOWELS = "aeiouéèêîâôûh"


@dataclass(frozen=True, slots=True)
class Sentence:
    en: str
    es: str
    fr: str


def held_out(english: str) -> bool:
    """Whether a sentence is one of the tenth that no model is trained on."""
    return zlib.crc32(english.encode()) % 10 == 0


class Grammar:
    """Draws sentences; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def sentence(self) -> Sentence:
        """Any sentence of the grammar."""
        one = self._random.choices(
            (
                self._clause,
                self._is,
                self._there,
                self._where,
                self._order,
                self._walk,
                self._fixed,
                self._bare,
            ),
            weights=(45, 12, 12, 8, 8, 8, 3, 4),
        )[0]()
        if one in _FIXED:
            return Sentence(*one)
        if self._random.random() < 0.1:
            return Sentence(*(text.lstrip("¡").rstrip(".! ") for text in one))
        return Sentence(*one)

    def unseen(self) -> Sentence:
        """A sentence that no model was trained on."""
        while not held_out((one := self.sentence()).en) or len(one.en.split()) < 3:
            pass
        return one

    def name(self) -> str:
        """A name, a made-up word or a number, which is the same in every language."""
        kind = self._random.random()
        if kind < 0.3:
            return self._random.choice(_NAMES)
        if kind < 0.65:
            return "".join(self._random.choices(_SYLLABLES, k=self._random.randint(2, 4))).capitalize()
        return str(self._random.randint(1000, 9999))

    def _clause(self) -> tuple[str, str, str]:
        verb = self._random.choice(_VERBS)
        thing = self._thing()
        match self._random.randrange(6):
            case 0:
                return (
                    f"I {verb[0]} {thing[0]}.",
                    f"Yo {verb[2]} {thing[1]}.",
                    f"J'ai {verb[4]} {thing[2]}.",
                )
            case 1:
                return (
                    f"We {verb[0]} {thing[0]}.",
                    f"Nosotros {verb[3]} {thing[1]}.",
                    f"Nous avons {verb[4]} {thing[2]}.",
                )
            case 2:
                subject = self._random.choice((("He", "Él", "Il"), ("She", "Ella", "Elle")))
            case 3:
                name = self.name()
                subject = (name, name, name)
            case _:
                subject = _capital(self._thing(of=self._random.random() < 0.6))
        if self._random.random() < 0.1:
            name = self.name()
            thing = (name, name, name)
        return (
            f"{subject[0]} {verb[0]} {thing[0]}.",
            f"{subject[1]} {verb[1]} {thing[1]}.",
            f"{subject[2]} a {verb[4]} {thing[2]}.",
        )

    def _is(self) -> tuple[str, str, str]:
        noun, adjective = self._random.choice(_NOUNS), self._random.choice(_ADJECTIVES)
        en, es, fr = _capital(_definite(noun))
        return (
            f"{en} is {adjective[0]}.",
            f"{es} es {adjective[1 if noun[2] == 'm' else 2]}.",
            f"{fr} est {adjective[3 if noun[5] == 'm' else 4]}.",
        )

    def _there(self) -> tuple[str, str, str]:
        noun, place = self._random.choice(_NOUNS), _definite(self._random.choice(_NOUNS))
        if self._random.random() < 0.4:
            number = str(self._random.randint(11, 9999))
            count = (number, number, number)
        else:
            count = self._random.choice(_COUNTS)
        return (
            f"There are {count[0]} {noun[1]} in {place[0]}.",
            f"Hay {count[1]} {noun[4]} en {place[1]}.",
            f"Il y a {count[2]} {noun[7]} dans {place[2]}.",
        )

    def _where(self) -> tuple[str, str, str]:
        if self._random.random() < 0.3:
            name = self.name()
            thing = (name, name, name)
        else:
            thing = self._thing()
        return f"Where is {thing[0]}?", f"¿Dónde está {thing[1]}?", f"Où est {thing[2]} ?"

    def _order(self) -> tuple[str, str, str]:
        order, thing = self._random.choice(_ORDERS), self._thing()
        return (
            f"Please {order[0]} {thing[0]}.",
            f"Por favor, {order[1]} {thing[1]}.",
            f"S'il vous plaît, {order[2]} {thing[2]}.",
        )

    def _walk(self) -> tuple[str, str, str]:
        count, noun, time = (self._random.choice(kind) for kind in (_COUNTS, _NOUNS, _TIMES))
        name = self.name()
        return (
            f"{count[0].capitalize()} {noun[1]} walk through {name} {time[0]}.",
            f"{count[1].capitalize()} {noun[4]} caminan por {name} {time[1]}.",
            f"{count[2].capitalize()} {noun[7]} marchent dans {name} {time[2]}.",
        )

    def _fixed(self) -> tuple[str, str, str]:
        return self._random.choice(_FIXED)

    def _bare(self) -> tuple[str, str, str]:
        if self._random.random() < 0.3:
            name = self.name()
            return name, name, name
        en, es, fr = _capital(self._thing())
        if self._random.random() < 0.5:
            return f"{en}.", f"{es}.", f"{fr}."
        return f"{en}!", f"¡{es}!", f"{fr} !"

    def _thing(self, of: bool = False) -> tuple[str, str, str]:
        noun = self._random.choice(_NOUNS)
        adjective = self._random.choice(_ADJECTIVES) if self._random.random() < 0.5 else None
        en, es, fr = _definite(noun, adjective)
        if not of:
            return en, es, fr
        owner = self._random.choice(_NOUNS)
        owned = self._random.choice(_ADJECTIVES) if self._random.random() < 0.5 else None
        of_en, of_es, of_fr = _definite(owner, owned)
        es_of = f"d{of_es}" if of_es.startswith("el ") else f"de {of_es}"
        fr_of = f"du {of_fr[3:]}" if of_fr.startswith("le ") else f"de {of_fr}"
        return f"{en} of {of_en}", f"{es} {es_of}", f"{fr} {fr_of}"


def _definite(noun: tuple[str, ...], adjective: tuple[str, ...] | None = None) -> tuple[str, str, str]:
    en, es, fr = noun[0], noun[3], noun[6]
    if adjective is not None:
        en = f"{adjective[0]} {en}"
        es = f"{es} {adjective[1 if noun[2] == 'm' else 2]}"
        fr = f"{fr} {adjective[3 if noun[5] == 'm' else 4]}"
    article = "l'" if fr[0] in _VOWELS else "le " if noun[5] == "m" else "la "
    return f"the {en}", f"{'el' if noun[2] == 'm' else 'la'} {es}", f"{article}{fr}"


def _capital(texts: tuple[str, str, str]) -> tuple[str, str, str]:
    first, second, third = (text[0].upper() + text[1:] for text in texts)
    return first, second, third
