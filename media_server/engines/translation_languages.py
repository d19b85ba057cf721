"""Codes of languages as translation models write them, and the groups that some models are made for."""

from __future__ import annotations

from media_server.engines.apertium_modes import ISO_639_1

# What ISO_639_1 lacks: further languages of OPUS-MT, NLLB and M2M100 that have a code of two letters.
# fmt: off
_MORE = {
    "amh": "am", "asm": "as", "azj": "az", "aze": "az", "bak": "ba", "bod": "bo", "arb": "ar", "pes": "fa",
    "npi": "ne", "ory": "or", "ori": "or", "ekk": "et", "lvs": "lv", "guj": "gu", "hau": "ha", "hye": "hy",
    "ibo": "ig", "jav": "jv", "jpn": "ja", "kan": "kn", "kat": "ka", "khk": "mn", "mon": "mn", "khm": "km",
    "kin": "rw", "kor": "ko", "lao": "lo", "lin": "ln", "ltz": "lb", "mal": "ml", "mlg": "mg", "plt": "mg",
    "mri": "mi", "mya": "my", "nor": "no", "nno": "nn", "nob": "no", "pan": "pa", "pbt": "ps", "pus": "ps",
    "san": "sa", "sin": "si", "sna": "sn", "snd": "sd", "som": "so", "sun": "su", "swa": "sw", "swh": "sw",
    "tam": "ta", "tgl": "tl", "tha": "th", "tuk": "tk", "uzn": "uz", "vie": "vi", "xho": "xh", "yid": "yi",
    "ydd": "yi", "yor": "yo", "zsm": "ms", "zul": "zu", "als": "sq", "cmn": "zh", "fao": "fo", "nb": "no",
    "jw": "jv", "iw": "he", "gaz": "om", "hat": "ht", "quy": "qu", "ckb": "ku", "kmr": "ku", "fil": "tl",
}
_GROUPS = {
    "roa": "ca es fr gl it oc pt ro", "ROMANCE": "ca es fr gl it oc pt ro", "itc": "ca es fr gl it la oc pt ro",
    "gem": "af da de en is lb nl no sv", "gmw": "af de en lb nl", "gmq": "da fo is nn no sv",
    "sla": "be bg bs cs hr mk pl ru sk sl sr uk", "zle": "be ru uk", "zls": "bg bs hr mk sl sr",
    "zlw": "cs pl sk", "bat": "lt lv", "fiu": "et fi hu", "trk": "az kk ky tr tt uz",
    "inc": "as bn gu hi mr ne pa si ur", "dra": "kn ml ta te", "bnt": "ln rw sn sw xh zu",
    "SCANDINAVIA": "da no sv", "CELTIC": "br cy ga", "iir": "fa hi ps ur", "sem": "ar he mt", "mul": "",
    "NORTH_EU": "de nl fy af da fo is no nb nn sv", "ine": "", "cpp": "", "aav": "km vi", "cel": "br cy ga",
    "deu_eng_fra_por_spa": "de en es fr pt",
}
# fmt: on
USUAL_SCRIPTS = frozenset({"zho_Hans", "srp_Cyrl", "arb_Arab", "kas_Arab", "ckb_Arab"})
"""Tokens of NLLB that stand for a language which it has in several scripts or forms."""


def short(code: str) -> str:
    """The code of two letters where there is one ("spa" -> "es"), else the code in lower case."""
    code = code.lower()
    return _MORE.get(code) or ISO_639_1.get(code, code)


def offered(code: str) -> str:
    """As ``short``, but empty for what has no code of two letters: nobody could choose it here."""
    found = short(code)
    return found if len(found) == 2 else ""


def is_group(code: str) -> bool:
    """Whether a model's code stands for several languages."""
    return code in _GROUPS or "_" in code


def members(code: str) -> tuple[str, ...]:
    """The languages that a code of a model stands for; none where a group's are not known here."""
    if code in _GROUPS:
        return tuple(_GROUPS[code].split())
    return (short(code),)
