"""The statements that a question can become: a place for the answer between its own words.

A question word gives way to the answer, the auxiliary goes behind the subject, and "did" gives its tense to the verb.
Where only the sense tells (where a subject ends, which preposition a place takes, where a time stands) all that may be
are made: the language model says which is written (`chooser`).  What is not understood gives none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kblampp.sentences import english
from kblampp.sentences.english import AUXILIARIES, BE, DO, HAVE, MODAL, NOW, PREPOSITIONS
from kblampp.sentences.pieces import Piece, Pieces, own

PLACES, TIMES = ("in", "at", "on"), ("in", "on")
"""Prepositions that a place or a day takes."""
_MOST = 4
"""Places at which a sentence may be cut that are tried."""
_LEADS = (
    "can you tell me",
    "could you tell me",
    "do you know",
    "do we know",
    "i want to know",
    "i would like to know",
    "please tell me",
    "tell me",
    "say",
    "please",
)
_COMMANDS = ("please list", "please name", "list", "name", "give me", "show me", "tell me")
_DAYS = english.word_set("year month day date season decade time")
_RELATIVE = frozenset(("that", "who", "which", "whom", "and"))
_NEVER_LEFT = frozenset(("before", "after", "since", "until", "up"))
_ADVERBS = english.word_set("ever first also still already last itself himself herself both always")


@dataclass(frozen=True, slots=True)
class Frame:
    """A statement with a place for the answer.

    Attributes:
        before: What stands before it.
        after: What stands after it.
        ahead: Directly before it, and only with it: "in", or the noun that the question names.
        behind: Directly behind it: what was counted.
        asks: Whether the words without the answer, after the question word, say what was asked.
        subject: Whether the answer is the subject, so that the verb after it agrees.
    """

    before: Pieces = ()
    after: Pieces = ()
    ahead: Pieces = ()
    behind: Pieces = ()
    asks: bool = True
    subject: bool = False


@dataclass(frozen=True, slots=True)
class Statements:
    """What a question can become.

    Attributes:
        asked: The question word and what belongs to it, as an indirect question begins; none where it has none.
        kind: What the answer is to the question: see `_Gap`; "phrase" where it has no verb.
        frames: With a place for the answer.
        confirmed, denied: Of a yes-or-no question, in the same order.
    """

    asked: Pieces
    kind: str
    frames: tuple[Frame, ...] = ()
    confirmed: tuple[Pieces, ...] = ()
    denied: tuple[Pieces, ...] = ()


def statements(words: Pieces) -> Statements | None:
    """The statements of a question; None for one that is not understood.

    Args:
        words: The question (`reading.pieces_of`).
    """
    if not words or words[0].text[0] in "¿¡" or english.is_foreign([word.low for word in words]):
        return None
    words, told = _without_lead(words)
    front, words = _front(words)
    if not words:
        return None
    found = _asked(words, told=told)
    if found is None or not (found.frames or found.confirmed):
        return None
    return _with_front(found, front) if front else found


def _asked(words: Pieces, *, told: bool) -> Statements | None:
    first, last = words[0].low, words[-1].low
    if first in english.WH or (first in PREPOSITIONS and len(words) > 2 and words[1].low in english.WH):
        return _wh(words, told=told)
    if first in AUXILIARIES and len(words) > 1:
        return _yes_no(words[0], words[1:])
    if last in ("where", "when"):
        return _wh((words[-1], *words[:-1]), told=True)
    return _phrase(words)


def _starts(words: Pieces, phrase: str) -> bool:
    return [word.low for word in words[: len(phrase.split())]] == phrase.split()


def _without_lead(words: Pieces) -> tuple[Pieces, bool]:
    """The question without "tell me" and the like, and whether it had it: then it may have the order of a statement."""
    for lead in _LEADS:
        length = len(lead.split())
        if _starts(words, lead) and len(words) > length and words[length].low in english.WH:
            return words[length:], True
    for command in _COMMANDS:
        if _starts(words, command) and len(words) > len(command.split()) + 1:
            return words[len(command.split()) :], False
    return words, False


def _front(words: Pieces) -> tuple[Pieces, Pieces]:
    """A time before the question ("In May 2016, who …"), and the question."""
    if words[0].low not in PREPOSITIONS | NOW or _begins(words):
        return (), words
    for at in range(1, len(words)):
        clause = words[at - 1].low in english.PRONOUNS  # "before she was …" goes on
        if _begins(words[at:]) and not clause and words[at - 1].low not in PREPOSITIONS:
            front = words[: at - 1] if words[at - 1].text == "," else words[:at]
            return front, words[at:]
    return (), words


def _begins(words: Pieces) -> bool:
    """Whether words begin a question."""
    first = words[0].low
    return first in english.WH | AUXILIARIES or (
        first in PREPOSITIONS and len(words) > 1 and words[1].low in english.WH
    )


def _with_front(found: Statements, front: Pieces) -> Statements:
    return replace(
        found,
        frames=tuple(replace(frame, after=(*frame.after, *front)) for frame in found.frames),
        confirmed=tuple((*words, *front) for words in found.confirmed),
        denied=tuple((*words, *front) for words in found.denied),
    )


# Questions with a question word.


def _wh(words: Pieces, *, told: bool) -> Statements | None:
    ahead: Pieces = ()
    if words[0].low in PREPOSITIONS:
        ahead, words = words[:1], words[1:]
    kind, noun, rest = _question_word(words)
    if not rest:
        return None
    asked = (*ahead, *(words[:1] if len(rest) == len(words) else words[: len(words) - len(rest)]))
    verb, left = rest[0], rest[1:]
    gap = _Gap(kind, noun, ahead)
    if verb.low in BE and left:
        frames = _with_be(gap, verb, left)
    elif verb.low in HAVE and left:
        frames = _with_have(gap, verb, left)
    elif verb.low in (*DO, *MODAL) and left:
        frames = _with_do(gap, verb, left)
    elif told and not english.is_finite(verb.low):
        frames = _as_told(gap, rest)
    elif kind in ("name", "amount", "owner") and english.is_plain(rest[0].low) and rest[0].low not in PREPOSITIONS:
        frames = gap.subjects(rest)
    else:
        return None
    return Statements(asked, "day" if noun and noun[-1].low in _DAYS else kind, tuple(frames))


@dataclass(frozen=True, slots=True)
class _Gap:
    """What the answer is to the statement.

    Attributes:
        kind: "name" (who, what, which), "owner" (whose), "amount" (how many), "measure" (how heavy), "place", "day" or
            "way".
        noun: What the question word belongs to: "stadium" of "which stadium"; "heavy".
        preposition: One that stood before the question word.
    """

    kind: str
    noun: Pieces = ()
    preposition: Pieces = ()

    def fill(self, before: Pieces, after: Pieces, *, bare: bool = False) -> Iterator[Frame]:
        """The frames with the answer here; `bare` where a preposition stands before it already."""
        if self.kind == "owner":
            yield Frame(before, after, self.preposition, (*own("'s"), *self.noun))
        elif self.kind in ("amount", "measure"):
            yield Frame(before, after, self.preposition, self.noun)
        elif self.preposition or bare or self.kind in ("name", "way"):
            if not any(piece.name for piece in self.noun):
                yield Frame(before, after, self.preposition)
            if self.noun:
                yield Frame(before, after, (*self.preposition, *own("the"), *self.noun))
        else:
            for word in PLACES if self.kind == "place" else TIMES:
                yield Frame(before, after, own(word))

    def subjects(self, rest: Pieces) -> Iterator[Frame]:
        """The frames in which the answer is the subject of what follows."""
        if self.kind == "owner":
            yield Frame((), rest, (), (*own("'s"), *self.noun))
        elif self.kind == "amount":
            yield Frame((), rest, (), self.noun, subject=True)
        elif not any(piece.name for piece in self.noun):
            yield Frame((), rest, subject=True)
        if self.kind == "name" and self.noun:
            yield Frame((), rest, (*own("the"), *self.noun), subject=True)
            yield from self.equals((*own("the"), *self.noun, *own("that"), *rest))

    def equals(self, subject: Pieces) -> Iterator[Frame]:
        """ "The stadium that she designed is …"."""
        for verb in BE:
            yield Frame((*subject, *own(verb)), (), asks=False)

    def adverbial(self) -> bool:
        """Whether the answer may stand at several places."""
        return self.kind in ("place", "day", "way") or bool(self.preposition)


def _question_word(words: Pieces) -> tuple[str, Pieces, Pieces]:
    """The kind of the gap, the noun, and what follows."""
    first, second = words[0].low, words[1].low if len(words) > 1 else ""
    if first in ("where", "when"):
        return ("place" if first == "where" else "day"), (), words[1:]
    if first == "how":
        if second in ("many", "much"):
            noun, rest = _noun(words[2:])
            return ("amount" if noun else "name"), (*own("of"), *noun) if noun and second == "much" else noun, rest
        if second in english.MEASURES and len(words) > 2 and words[2].low in BE:
            return "measure", words[1:2], words[2:]
        if second in ("often", "long", "far", "fast"):
            return "way", (), words[2:]
        return ("way", (), words[1:]) if second in AUXILIARIES else ("", (), ())
    if first in ("who", "whom"):
        return "name", (), words[1:]
    noun, rest = _noun(words[1:])
    if noun and noun[0].low == "of":  # "Which of the ships is the oldest?": the oldest of the ships
        noun, rest = (), (*rest, *noun)
    return ("owner" if first == "whose" else "name"), noun, rest


def _noun(words: Pieces) -> tuple[Pieces, Pieces]:
    """What stands before the verb, and the rest from there; an auxiliary is a surer sign of it than an ending."""
    for at, word in enumerate(words):
        if word.low in AUXILIARIES:
            return words[:at], words[at:]
        if word.low in _RELATIVE - {"and"}:
            break
    for at, word in enumerate(words):
        if at and english.is_finite(word.low) and words[at - 1].low not in PREPOSITIONS:
            return words[:at], words[at:]
    return (), words


def _with_be(gap: _Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    if gap.kind in ("name", "amount", "owner") and not gap.preposition:
        dangling = _dangling(rest)
        if dangling is not None and any(word.low in english.WH | {"that"} for word in rest):
            return  # whose preposition it is, the clause hides
        if dangling is not None:
            for cut in _cuts(rest[: dangling + 1]):
                before = (*rest[:cut], verb, *rest[cut : dangling + 1])
                yield from gap.fill(before, rest[dangling + 1 :], bare=True)
            if not gap.noun and not _is_subject(rest):  # "What was the last town that she lived in?"
                yield Frame((*rest, verb))
            return
        yield from gap.subjects((verb, *rest))
        if english.is_participle(rest[0].low) or gap.kind == "amount":
            for at in _spots(rest) if gap.kind == "amount" else ():
                yield from gap.fill((*rest[:at], verb), rest[at:])
            return
        for at in _participles(rest):
            yield from gap.fill((*rest[:at], verb, *rest[at : at + 1]), rest[at + 1 :])
        if gap.kind == "name":
            for at in _spots(rest):
                yield Frame((*_article(rest), *rest[:at], verb), rest[at:])
        return
    cuts = _participles(rest)
    dangling = _dangling(rest)
    for cut in cuts:
        if dangling is not None and dangling > cut:
            yield from gap.fill((*rest[:cut], verb, *rest[cut : dangling + 1]), rest[dangling + 1 :], bare=True)
            continue
        for at in _spots(rest[cut + 1 :], first=0):
            yield from gap.fill((*rest[:cut], verb, *rest[cut : cut + 1 + at]), rest[cut + 1 + at :])
    if not cuts and (rest[0].low in english.PRONOUNS or _is_subject(rest)):
        for at in _spots(rest[1:], first=0):
            yield from gap.fill((rest[0], verb, *rest[1 : 1 + at]), rest[1 + at :])
        return
    for at in () if cuts else _spots(rest):
        yield from gap.fill((*_article(rest), *rest[:at], verb), rest[at:])
    if not cuts and gap.kind == "day":
        for cut in _cuts(rest):
            yield from gap.fill((*rest[:cut], verb, *rest[cut:]), ())


def _with_have(gap: _Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    skip = 1 if rest[0].low in NOW | _ADVERBS else 0
    if english.is_participle(rest[skip].low) and gap.kind in ("name", "amount", "owner") and not gap.preposition:
        yield from gap.subjects((verb, *rest))
        if rest[0].low == "been" and gap.kind == "name" and len(rest) > 1:
            for at in _spots(rest[1:]):
                yield Frame((*rest[1 : 1 + at], verb, rest[0]), rest[1 + at :])
        return
    for cut in _participles(rest):
        subject, left = rest[:cut], rest[cut + 1 :]
        yield from _around(gap, (*subject, verb, rest[cut]), left)
        yield from _related(gap, (*subject, verb, rest[cut], *left))
    if not _participles(rest) and gap.kind == "name" and not (gap.noun or gap.preposition):
        yield from gap.subjects((verb, *rest))  # "Who had the ring in 1950?"
    elif not _participles(rest):  # "How many routes has the line?"
        for at in _spots(rest):
            yield from gap.fill((*rest[:at], verb), rest[at:])


def _with_do(gap: _Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    for cut in _verbs(rest):
        subject, left = rest[:cut], rest[cut + 1 :]
        spoken = (verb, rest[cut]) if verb.low in MODAL else (_inflected(verb.low, rest[cut]),)
        yield from _around(gap, (*subject, *spoken), left)
        yield from _related(gap, (*subject, *spoken, *left))


def _around(gap: _Gap, before: Pieces, left: Pieces) -> Iterator[Frame]:
    """The answer after a subject and its verb: after a preposition that waits for it, or where such things stand."""
    dangling = _dangling(left)
    if dangling is not None and not gap.preposition:
        yield from gap.fill((*before, *left[: dangling + 1]), left[dangling + 1 :], bare=True)
        return
    has_object = bool(left) and left[0].low not in PREPOSITIONS | NOW
    if gap.adverbial():
        spots = _spots(left, first=1 if has_object else 0)
    elif has_object:
        spots = _spots(left, first=0)
    else:
        spots = [1 if left and left[0].low in english.PARTICLES else 0]
    for at in spots:
        yield from gap.fill((*before, *left[:at]), left[at:])


def _related(gap: _Gap, clause: Pieces) -> Iterator[Frame]:
    """ "The award that it got in 2019 was …"."""
    if gap.kind == "name" and gap.noun and not gap.preposition:
        yield from gap.equals((*own("the"), *gap.noun, *own("that"), *clause))


def _as_told(gap: _Gap, rest: Pieces) -> Iterator[Frame]:
    """After "tell me" the words stand as in a statement: "where she was born", "who the director was"."""
    if gap.kind != "name" or rest[-1].low in BE:
        yield from gap.fill(rest, ())


# Questions for yes or no, and phrases.


def _yes_no(verb: Piece, rest: Pieces) -> Statements | None:
    confirmed, denied = list[Pieces](), list[Pieces]()
    if verb.low in DO:
        for cut in _verbs(rest):
            subject, left = rest[:cut], rest[cut + 1 :]
            confirmed.append((*subject, _inflected(verb.low, rest[cut]), *left))
            denied.append((*subject, verb, *own("not"), rest[cut], *left))
    else:
        for cut in _cuts(rest):
            confirmed.append((*rest[:cut], verb, *rest[cut:]))
            denied.append((*rest[:cut], verb, *own("not"), *rest[cut:]))
    yes = (tuple(word for word in words if word.low != "ever") for words in confirmed)
    return Statements((), "judged", (), tuple(yes), tuple(denied))


def _phrase(words: Pieces) -> Statements | None:
    """A question without a verb: "capital of Norway"."""
    names = [word.name for word in words]
    about = any(names) or any(word.low in ("of", "for") for word in words)
    if words[0].low in PREPOSITIONS or all(names) or not about:
        return None
    article, frames = _article(words), list[Frame]()
    for phrase in (words, _joined(words)):
        for at in _spots(phrase):
            frames += [Frame((*article, *phrase[:at], *own(verb)), phrase[at:], asks=False) for verb in BE]
    return Statements((), "phrase", tuple(dict.fromkeys(frames)))


def _article(words: Pieces) -> Pieces:
    """ "The" for a phrase that begins with a common noun."""
    first, bound = words[0], english.DETERMINERS | english.PRONOUNS | PREPOSITIONS
    return own("the") if english.is_plain(first.low) and not _owns(first) and first.low not in bound else ()


def _joined(words: Pieces) -> Pieces:
    """The phrase with the prepositions that were left out: "price of bread 2022", "proofing time Styrian Rye"."""
    found: list[Piece] = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else None
        if before is not None and word.name and before.low not in PREPOSITIONS | english.DETERMINERS:
            is_year = word.text.isdigit() and len(word.text) == 4
            if is_year or (before.low and before.text != ","):
                found += own("in" if is_year else "of")
        found.append(word)
    return tuple(found)


# Where a sentence may be cut.


def _dangling(words: Sequence[Piece]) -> int | None:
    """The place of a preposition that has nothing behind it; the answer belongs there."""
    for at, word in enumerate(words):
        following = words[at + 1].low if at + 1 < len(words) else None
        waits = word.low in PREPOSITIONS - _NEVER_LEFT and (word.low != "of" or following is None)
        if waits and (following is None or following in PREPOSITIONS | (NOW - {"first", "last"})):
            return at
    return None


def _spots(words: Sequence[Piece], *, first: int = 1) -> list[int]:
    """Where the answer may stand among the words after a verb: at their end, or before what says when and where."""
    inner = [
        at
        for at, word in enumerate(words)
        if at >= first
        and (at == 0 or word.low in PREPOSITIONS - {"of"} or word.low in NOW)
        and not (at and (words[at - 1].low in english.NEARNESS | english.DETERMINERS or _owns(words[at - 1])))
        and not (word.low == "to" and any(letter.isdigit() for letter in words[at - 1].text))
        and not (at and _dangling(words[at : at + 2]) == 0)
    ]
    return sorted(dict.fromkeys((*inner[:_MOST], len(words))))


def _participles(words: Sequence[Piece]) -> list[int]:
    """Where "born", "coaching" or "released" ends the subject; not inside of what is said of the subject."""
    found = [
        at
        for at, word in enumerate(words)
        if at
        and english.is_participle(word.low)
        and words[at - 1].low not in _RELATIVE | english.DETERMINERS | english.PRONOUNS
        and not _owns(words[at - 1])
    ]
    return found[:1] if words[0].name and not _owns(words[0]) else found[:_MOST]


def _cuts(words: Sequence[Piece]) -> list[int]:
    """Where the subject of a yes-or-no question may end."""
    if len(words) < 2:
        return [len(words)]
    if _is_subject(words) or words[0].low in english.PRONOUNS:
        return [1]
    bound = PREPOSITIONS | english.DETERMINERS | _RELATIVE
    found = [
        at
        for at in range(1, len(words))
        if words[at - 1].low not in bound
        and not _owns(words[at - 1])
        and words[at].low != "of"
        and words[at].text != ","
    ]
    sure = [at for at in found if english.is_participle(words[at].low)]
    after_name = [at for at in found if words[at - 1].name]
    return (sure or after_name or found)[:_MOST]


def _verbs(words: Sequence[Piece]) -> list[int]:
    """Where the verb of a question with "did" may stand."""
    first = words[0]
    if (first.name and not _owns(first)) or first.low in english.PRONOUNS:
        at = 1
        while at < len(words) - 1 and words[at].low in _ADVERBS:
            at += 1
        if at < len(words) and english.is_plain(words[at].low) and words[at].low not in PREPOSITIONS | {"and"}:
            return [at]
    bound = english.DETERMINERS | PREPOSITIONS | _RELATIVE
    found = [
        at
        for at in range(1, len(words))
        if english.is_plain(words[at].low)
        and words[at].low not in bound | NOW | AUXILIARIES - {"have", "do"}
        and words[at - 1].low not in bound
    ]
    return ([at for at in found if english.is_verb(words[at].low)] or found)[:_MOST]


def _is_subject(words: Sequence[Piece]) -> bool:
    """Whether the first word, a name, is a subject by itself."""
    alone = len(words) < 2 or words[1].low not in ("and", "of")
    return words[0].name and not _owns(words[0]) and alone


def _owns(piece: Piece) -> bool:
    return piece.text.endswith(("'s", "\u2019s", "s'", "s\u2019"))


def _inflected(auxiliary: str, verb: Piece) -> Piece:
    """The verb with the tense of "did", "does" or "do"."""
    form = {"did": english.past, "does": english.third}.get(auxiliary)
    return verb if form is None or form(verb.low) == verb.text else Piece(form(verb.low))
