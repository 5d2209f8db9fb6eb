"""Times that an event tells: "after the war", "when she was mayor", "under the previous owner".

No day of them is known here, so they are found only to be said.  What is meant are times, not neighbours in a row:
"before Oskar Lie" and "before he moved to Vesk" name a fact by its value, which a model looks for by itself.  So a
clause that names something, in a text with capitals, is none; a noun counts if it is one of happening, by the list of
`_EVENT_NOUNS` or by its ending.
"""

from __future__ import annotations

import re

_DETERMINER = r"(?:the|an?|this|that|his|her|its|their|our|my|your)"
_PRONOUN = r"(?:he|she|it|they|we|you|i)"
_EVENT_NOUNS = """
accident attack bankruptcy battle birth breakup ceremony childhood closure collapse conquest coronation coup
crash crisis death defeat departure disaster discovery divorce drought earthquake election epidemic exile
explosion failure fall famine fire flood funeral genocide heist hurricane illness incident independence invasion
landslide launch handover lockdown loss marriage massacre merger mutiny outbreak outage pandemic peace plague
presidency privatisation purchase quake raid rebellion recession redesign reform refurb reign relaunch
relocation removal renewal rescue restart revival revolt revolution riot robbery sale scandal shutdown siege
split storm strike surgery surrender takeover theft transfer trial tragedy treaty tsunami tenure unification
uprising upgrade victory visit war wars wedding wreck youth wartime peacetime
"""
_ENDINGS = ("tion", "sion", "ment", "ings", "ing", "tions", "arrival")
_OTHER_NOUNS = """
station nation organisation organization institution association foundation corporation administration
delegation exhibition position edition section location attraction publication population department government
apartment instrument monument document regiment parliament settlement building buildings wing king ring spring
string thing something anything everything nothing evening morning meeting painting sibling railing cover river
division mission mansion version extension element cement garment equipment landing clothing following being
during
"""
_EVENTS, _NO_EVENTS = frozenset(_EVENT_NOUNS.split()), frozenset(_OTHER_NOUNS.split())
_PHRASE = re.compile(
    r"(?<![\w-])(?<!look )(?<!looks )(?<!looked )(?<!named )(?:(?:right|just|shortly|soon|immediately|long|directly) )?"
    rf"(?:(?P<during>during)|before|after|since|until|till|following|prior to|between) (?:{_DETERMINER} )?"
    r"(?P<words>[^?!.,;:()]+)",
    re.IGNORECASE,
)
_NOUNS_END = re.compile(
    r" (?:of|in|at|on|by|with|for|from|to|and|or|that|who|whom|whose|what|which|where|how|was|were|is|are|did|does|do"
    r"|has|have|had|as|than)\b.*",
    re.IGNORECASE,
)
_WITH_A_NAME = re.compile(r" (?:with|to) [A-Z]")  # "after the marriage with Fru Holm": a neighbour
_NUMERAL = re.compile(r" (?:[ivx]+|one|two|1|2)$", re.IGNORECASE)
_CLAUSE = re.compile(
    rf"(?<![\w-])(?:when|while|before|after|since|until|till|by the time) "
    rf"(?:{_PRONOUN} (?!and )|{_DETERMINER} (?:[\w'-]+ ){{1,4}}?(?:was|were|is|are|had|has|[a-z]+ed|began|fell|left"
    r"|came|went|took|broke|burnt|sold|bought|built|became|lost|won|grew|shut|died|opens|closes)\b)[^?!.,;:]*",
    re.IGNORECASE,
)
_GERUND = re.compile(
    r"(?<![\w-])(?:before|after|since) (?P<verb>[a-z]{3,}ing)(?! (?:director|editor|member)\b)[^?!.,;:]*"
)
_ALWAYS = re.compile(
    r"(?<![\w-])(?:(?:at|by) the time (?:of|that|when)? ?[^?!.,;:]+"
    r"|in the (?:days|times?|era|age|reign|aftermath|wake|run-up) (?:of|to) [^?!.,;:]+"
    r"|in (?:his|her|their|its) (?:youth|childhood|old age|early years|later years|lifetime|teens|student days"
    r"|(?:(?:early|mid|late)[ -])?(?:teens|twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties))\b"
    rf"|under {_DETERMINER} (?:previous|former|old|new|next|earlier|later|last|first|prior) "
    r"(?!(?:name|names|terms?|licen[cs]e|brand|flag|label|title|contract|trademark)\b)[^?!.,;:]+"
    r"|under (?:the|his|her|its|their) (?:leadership|reign|rule|presidency|management|ownership|direction|tenure"
    r"|stewardship|command|occupation)\b[^?!.,;:]*)",
    re.IGNORECASE,
)
_ASKED = re.compile(r"(?:^|.*\W)(?:who|whom|whose|what|which|where|how)\b", re.IGNORECASE)
_SAID = re.compile(r"\b(?:know|knows|tell|say|says|remember|remembers|me|and|or)\s*$", re.IGNORECASE)
_MAIN = re.compile(r",? (?:who|whom|whose|what|which|where|how)\b.*", re.IGNORECASE)


def event_time(text: str) -> str | None:
    """The words of a question that tell a time by an event; None if there are none.

    Args:
        text: A question with single spaces, of which no other time is read.
    """
    if always := _ALWAYS.search(text):
        return _words(always)
    for found in _CLAUSE.finditer(text):
        if _is_time(found, text) and not _names(found, text):
            return _words(found)
    for found in _GERUND.finditer(text):
        if found["verb"] not in _NO_EVENTS and not _names(found, text):
            return _words(found)
    for found in _PHRASE.finditer(text):
        nouns = _NOUNS_END.sub("", found["words"]).strip()
        head = _NUMERAL.sub("", nouns).rpartition(" ")[2]
        with_whom = _WITH_A_NAME.match(text, found.start("words") + len(nouns))
        if not with_whom and (_happens(head) or (found["during"] and head.islower() and head not in _NO_EVENTS)):
            return text[found.start() : found.start("words")] + nouns
    return None


def _happens(noun: str) -> bool:
    """Whether a noun says that something happens; a name ("Paragon Holdings") does not do so by its ending."""
    return noun.lower() in _EVENTS or (noun.islower() and noun not in _NO_EVENTS and noun.endswith(_ENDINGS))


def _is_time(clause: re.Match[str], text: str) -> bool:
    """Whether a clause tells when, and does not ask it: "Who knows when it closed?" does."""
    before, after = text[: clause.start()], text[clause.end() :]
    if _SAID.search(before):
        return False
    return bool(_ASKED.match(before)) or (not before.strip() and bool(_ASKED.match(clause[0] + after)))


def _names(found: re.Match[str], text: str) -> bool:
    """Whether a clause names something, with a capital or a number; "I" and capitals alone say nothing."""
    inside = _words(found).split()[1:]
    return any(re.search(r"\d", word) or (word[0].isupper() and word != "I" and not text.isupper()) for word in inside)


def _words(found: re.Match[str]) -> str:
    return _MAIN.sub("", found[0]).strip()
