"""The few words of English that a sentence may add to those of the question, and how verbs are inflected."""

from __future__ import annotations

import re


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


BE, HAVE, DO = ("is", "was", "are", "were"), ("has", "have", "had"), ("did", "does", "do")
MODAL = ("can", "could", "will", "would", "may", "might", "must", "should")
AUXILIARIES = frozenset((*BE, *HAVE, *DO, *MODAL))
ARTICLES = frozenset(("the", "a", "an"))
PREPOSITIONS = word_set(
    "in on at for to by from with of about under into onto during since until till through throughout over as "
    "after before between within without against among near behind beside around across along up"
)
WH = word_set("who whom whose what which where when how")
OWN_WORDS = word_set(
    "the a an is was are were has have had did does do of in on at by since until and not no yes it that whether "
    "what base say"
)
"""Besides inflected words of the question, and yes and no, nothing else is in the language model's own words."""
NOW = word_set(
    "now today currently presently nowadays these still at over so recently already first last again just right "
    "shortly prior once when while"
)
"""Words that begin what is said of time without a preposition."""
NEARNESS = word_set("just right shortly directly prior")
"""Words that belong to the preposition behind them."""
PARTICLES = word_set("up out off down away over back on")
MEASURES = word_set("heavy long tall high wide deep old thick")
"""Adjectives that stand behind a measure: "92 g heavy"."""
DETERMINERS = word_set("the a an this that these those his her its their our my your one each every all")
PRONOUNS = word_set("he she it they we you i there")
_FOREIGN = word_set(
    "wer wo wann wie welche welcher welches der das und ist wurde von que qui quel quelle quels est le les la de "
    "des du où quand comment combien quién quien qué cuál cual dónde donde cuándo cuando cómo fue el los las una "
    "del chi che cosa quale dove quando il gli della quem qual onde foi wat waar wanneer het een kto gdzie kiedy "
    "jaki jest był była vem vad när hvem hva hvor når"
)
"""Words that begin or hold together questions of other languages and are no English ones."""
_IRREGULAR = (
    "be was been|become became become|begin began begun|break broke broken|bring brought brought|build built built|buy "
    "bought bought|catch caught caught|choose chose chosen|come came come|cost cost cost|cut cut cut|do did done|draw "
    "drew drawn|drive drove driven|eat ate eaten|fall fell fallen|feed fed fed|feel felt felt|fight fought fought|find "
    "found found|fly flew flown|forbid forbade forbidden|get got got|give gave given|go went gone|grow grew grown|have "
    "had had|hear heard heard|hide hid hidden|hold held held|keep kept kept|know knew known|lay laid laid|lead led "
    "led|learn learned learned|leave left left|lend lent lent|let let let|lie lay lain|lose lost lost|make made "
    "made|mean meant meant|meet met met|pay paid paid|put put put|read read read|ride rode ridden|rise rose risen|run "
    "ran run|say said said|see saw seen|sell sold sold|send sent sent|set set set|shoot shot shot|sing sang sung|sit "
    "sat sat|sleep slept slept|speak spoke spoken|spend spent spent|split split split|stand stood stood|steal stole "
    "stolen|strike struck struck|swim swam swum|take took taken|teach taught taught|tell told told|think thought "
    "thought|throw threw thrown|understand understood understood|wear wore worn|wed wed wed|win won won|write wrote "
    "written|bear bore born|rewrite rewrote rewritten|oversee oversaw overseen|undergo underwent undergone"
)
_FORMS = [tuple(row.split()) for row in _IRREGULAR.split("|")]
_PAST = {base: past for base, past, _ in _FORMS}
_PARTICIPLES = frozenset(participle for *_, participle in _FORMS)
_PASTS = frozenset(_PAST.values())
_PLAIN = word_set(
    "act appear arrive attend belong carry coach command compose contain cover create deliver depend design "
    "develop die direct discover edit employ enter finish flow found guide happen head host house include invent "
    "join land launch like link live locate love maintain manage marry move name need occupy open operate own "
    "perform play produce publish receive record release represent reside retire score serve share sign sponsor "
    "star start study supply support train translate treat turn use visit want weigh work"
)
"""Verbs that are regular and common; of others their ending tells."""
_DOUBLED = re.compile(r"[^aeiou]*[aeiou][bdgklmnprt]")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


def is_plain(word: str) -> bool:
    """Whether a text is a word of small letters."""
    return _WORD.fullmatch(word) is not None


def past(verb: str) -> str:
    """The past tense of a verb."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}{verb[-1]}ed" if _DOUBLED.fullmatch(verb) else f"{verb}ed"


def third(verb: str) -> str:
    """The form of a verb after "she"."""
    if verb == "have":
        return "has"
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if verb.endswith("y") and verb[-2:-1] not in "aeiou" else f"{verb}s"


def is_verb(word: str) -> bool:
    """Whether a word is known as a verb in its plain form."""
    return word in _PAST or word in _PLAIN


def is_participle(word: str) -> bool:
    """Whether a word may stand after "is" or "has": "born", "coaching", "released"."""
    return word in _PARTICIPLES or (len(word) > 4 and word.endswith(("ed", "ing")) and is_plain(word))


def is_finite(word: str) -> bool:
    """Whether a word may be the verb of a question that has no auxiliary: "runs", "won", "founded"."""
    regular = len(word) > 4 and word.endswith("ed") and is_plain(word)
    return word in _PASTS or regular or is_verb(word) or any(third(verb) == word for verb in _candidates(word))


def _candidates(word: str) -> list[str]:
    """Known verbs of which a word may be the form after "she"."""
    return [stem for stem in (word[:-1], word[:-2], f"{word[:-3]}y") if is_verb(stem)]


def plural(word: str) -> str:
    """The form of a verb after "they", of one after "she": "owns" gives "own"; past forms stay."""
    if word in ("is", "was", "has"):
        return {"is": "are", "was": "were", "has": "have"}[word]
    stems = [*_candidates(word), f"{word[:-3]}y", word[:-2], word[:-1]] if is_plain(word) else []
    return next((stem for stem in stems if stem and third(stem) == word), word)


def is_foreign(words: list[str]) -> bool:
    """Whether words, in small letters and without names, are a question that is not English."""
    return words[0] in _FOREIGN or sum(word in _FOREIGN for word in words) > 1
