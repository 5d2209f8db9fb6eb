"""What the synthetic worlds are made of: entity types, relations, sentence and question wordings.

Data only.  A relation is *successive* when its holders follow one another in time (a chief executive officer), and
timeless otherwise (a place of birth).  In the wordings ``{x}`` is the head (or the noun phrase of an earlier hop),
``{t}`` the tail, ``{when}`` a time expression, ``{since}`` and ``{until}`` months.  No wording contains a word
of an entity name (`tests/unit/test_worlds.py`), so that the `novel` split's words are new to everything.
"""

from __future__ import annotations

from dataclasses import dataclass

HORIZON = (1950, 2030)
"""First year, and the year after the last, that a question about a synthetic world can be about."""

NAME_POOLS: dict[str, tuple[str, str]] = {
    "PERSON": ("first", "last"),
    "ORG": ("brand", "organisation"),
    "CITY": ("adjective", "place"),
    "PRODUCT": ("brand", "product"),
    "BOOK": ("adjective", "book"),
    "SCHOOL": ("town", "institution"),
    "TEAM": ("town", "team"),
}
"""Entity type -> the two word pools (`data/words.json`) that its names combine."""


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """One relation of the synthetic worlds and every way to word it.

    Attributes:
        id: Relation id as it stands in the facts.
        name: Relation label; it is encoded into the fact's key.
        head: Entity type of the head.
        tail: Entity type of the tail.
        successive: Whether holders follow one another in time.
        sentences: Evidence sentences.  Successive relations have ``{since}`` and ``{until}``.
        questions: Question wordings.  Successive relations have ``{when}``.
        phrases: Noun phrases for the tail, used as the head of the next hop (timeless relations only).
    """

    id: str
    name: str
    head: str
    tail: str
    successive: bool
    sentences: tuple[str, ...]
    questions: tuple[str, ...]
    phrases: tuple[str, ...] = ()


RELATIONS: tuple[RelationSpec, ...] = (
    RelationSpec(
        "R001",
        "chief executive officer",
        "ORG",
        "PERSON",
        True,
        (
            "{t} was chief executive officer of {x} from {since} until {until}.",
            "From {since} until {until}, {x} was run by {t} as chief executive.",
            "{x} had {t} as its chief executive from {since} until {until}.",
        ),
        (
            "Who was the chief executive officer of {x} {when}?",
            "Who ran {x} as chief executive {when}?",
            "Who served as CEO of {x} {when}?",
            "Which person led {x} as its CEO {when}?",
            "{when}, who was the chief executive of {x}?",
        ),
    ),
    RelationSpec(
        "R002",
        "headquarters location",
        "ORG",
        "CITY",
        True,
        (
            "{x} had its headquarters in {t} from {since} until {until}.",
            "From {since} until {until}, the head office of {x} was in {t}.",
            "The headquarters of {x} were located in {t} from {since} until {until}.",
        ),
        (
            "Where was the headquarters of {x} {when}?",
            "In which city was {x} headquartered {when}?",
            "Where did {x} have its head office {when}?",
            "Which city housed the headquarters of {x} {when}?",
            "{when}, where was the head office of {x}?",
        ),
    ),
    RelationSpec(
        "R003",
        "founded by",
        "ORG",
        "PERSON",
        False,
        (
            "{x} was founded by {t}.",
            "{t} is the founder of {x}.",
            "The company {x} was set up by {t}.",
        ),
        (
            "Who founded {x}?",
            "Who is the founder of {x}?",
            "Which person set up {x}?",
            "By whom was {x} founded?",
            "Who started {x}?",
        ),
        ("the founder of {x}", "the person who founded {x}", "the person who set up {x}"),
    ),
    RelationSpec(
        "R004",
        "mayor",
        "CITY",
        "PERSON",
        True,
        (
            "{t} was mayor of {x} from {since} until {until}.",
            "From {since} until {until}, the mayor of {x} was {t}.",
            "{x} was governed by mayor {t} from {since} until {until}.",
        ),
        (
            "Who was the mayor of {x} {when}?",
            "Who held the office of mayor in {x} {when}?",
            "Who governed {x} as mayor {when}?",
            "Which person was mayor of {x} {when}?",
            "{when}, who was mayor of {x}?",
        ),
    ),
    RelationSpec(
        "R005",
        "twin town",
        "CITY",
        "CITY",
        False,
        (
            "{x} is twinned with {t}.",
            "The twin town of {x} is {t}.",
            "{x} and {t} became twin towns, with {t} as the partner of {x}.",
        ),
        (
            "Which city is the twin town of {x}?",
            "What is {x} twinned with?",
            "Which city is {x} twinned with?",
            "What is the name of the twin town of {x}?",
            "What is the partner city of {x}?",
        ),
        ("the twin town of {x}", "the city twinned with {x}", "the partner city of {x}"),
    ),
    RelationSpec(
        "R006",
        "employer",
        "PERSON",
        "ORG",
        True,
        (
            "{x} worked for {t} from {since} until {until}.",
            "From {since} until {until}, {x} was employed by {t}.",
            "{x} was on the staff of {t} from {since} until {until}.",
        ),
        (
            "Which company did {x} work for {when}?",
            "Who was the employer of {x} {when}?",
            "Who employed {x} {when}?",
            "What company was {x} employed by {when}?",
            "{when}, which company employed {x}?",
        ),
    ),
    RelationSpec(
        "R007",
        "residence",
        "PERSON",
        "CITY",
        True,
        (
            "{x} lived in {t} from {since} until {until}.",
            "From {since} until {until}, the home of {x} was in {t}.",
            "{x} was a resident of {t} from {since} until {until}.",
        ),
        (
            "Where did {x} live {when}?",
            "In which city did {x} reside {when}?",
            "Which city was the home of {x} {when}?",
            "What was the residence of {x} {when}?",
            "{when}, where was {x} living?",
        ),
    ),
    RelationSpec(
        "R008",
        "place of birth",
        "PERSON",
        "CITY",
        False,
        (
            "{x} was born in {t}.",
            "{t} is the birthplace of {x}.",
            "The place of birth of {x} is {t}.",
        ),
        (
            "Where was {x} born?",
            "What is the place of birth of {x}?",
            "In which city was {x} born?",
            "What is the birthplace of {x}?",
            "Which city is {x} a native of?",
        ),
        ("the birthplace of {x}", "the city where {x} was born", "the place of birth of {x}"),
    ),
    RelationSpec(
        "R009",
        "alma mater",
        "PERSON",
        "SCHOOL",
        False,
        (
            "{x} graduated from {t}.",
            "{x} studied at {t}.",
            "The alma mater of {x} is {t}.",
        ),
        (
            "Where did {x} study?",
            "What is the alma mater of {x}?",
            "Which school did {x} graduate from?",
            "From which school did {x} get a degree?",
            "At which school was {x} educated?",
        ),
        ("the alma mater of {x}", "the school where {x} studied", "the school that {x} graduated from"),
    ),
    RelationSpec(
        "R010",
        "doctoral advisor",
        "PERSON",
        "PERSON",
        False,
        (
            "The doctoral advisor of {x} was {t}.",
            "{x} wrote a thesis under {t}.",
            "{t} supervised the doctorate of {x}.",
        ),
        (
            "Who was the doctoral advisor of {x}?",
            "Who supervised the doctorate of {x}?",
            "Under whom did {x} write a thesis?",
            "Who advised {x} as a doctoral student?",
            "Who was the thesis supervisor of {x}?",
        ),
        (
            "the doctoral advisor of {x}",
            "the person who supervised the doctorate of {x}",
            "the thesis supervisor of {x}",
        ),
    ),
    RelationSpec(
        "R011",
        "manufacturer",
        "PRODUCT",
        "ORG",
        False,
        (
            "{x} is made by {t}.",
            "{t} is the manufacturer of {x}.",
            "The product {x} is manufactured by {t}.",
        ),
        (
            "Which company makes {x}?",
            "Who is the manufacturer of {x}?",
            "What company manufactures {x}?",
            "Who produces {x}?",
            "By which company is {x} made?",
        ),
        ("the company that makes {x}", "the manufacturer of {x}", "the maker of {x}"),
    ),
    RelationSpec(
        "R012",
        "designed by",
        "PRODUCT",
        "PERSON",
        False,
        (
            "{x} was designed by {t}.",
            "{t} is the designer of {x}.",
            "The design of {x} is the work of {t}.",
        ),
        (
            "Who designed {x}?",
            "Who is the designer of {x}?",
            "Which person designed {x}?",
            "Whose design is {x}?",
            "Who drew up the design of {x}?",
        ),
        ("the designer of {x}", "the person who designed {x}", "the person behind the design of {x}"),
    ),
    RelationSpec(
        "R013",
        "author",
        "BOOK",
        "PERSON",
        False,
        (
            "{x} was written by {t}.",
            "{t} is the author of {x}.",
            "The novel {x} is a work of {t}.",
        ),
        (
            "Who wrote {x}?",
            "Who is the author of {x}?",
            "Which person wrote the novel {x}?",
            "By whom was {x} written?",
            "What is the name of the writer of {x}?",
        ),
        ("the author of {x}", "the person who wrote {x}", "the writer of {x}"),
    ),
    RelationSpec(
        "R014",
        "publisher",
        "BOOK",
        "ORG",
        False,
        (
            "{x} was published by {t}.",
            "{t} is the publisher of {x}.",
            "The novel {x} was brought out by {t}.",
        ),
        (
            "Which company published {x}?",
            "Who is the publisher of {x}?",
            "Who published {x}?",
            "By which company was {x} brought out?",
            "What is the publishing company of {x}?",
        ),
        ("the publisher of {x}", "the company that published {x}", "the publishing company of {x}"),
    ),
    RelationSpec(
        "R015",
        "located in",
        "SCHOOL",
        "CITY",
        False,
        (
            "{x} is located in {t}.",
            "{x} is a school in {t}.",
            "The buildings of {x} stand in {t}.",
        ),
        (
            "Where is {x} located?",
            "In which city is {x}?",
            "Which city is {x} in?",
            "In what city is {x} situated?",
            "What is the location of {x}?",
        ),
        ("the city where {x} is located", "the location of {x}", "the city that {x} is in"),
    ),
    RelationSpec(
        "R016",
        "president",
        "SCHOOL",
        "PERSON",
        True,
        (
            "{t} was president of {x} from {since} until {until}.",
            "From {since} until {until}, the president of {x} was {t}.",
            "{x} was headed by president {t} from {since} until {until}.",
        ),
        (
            "Who was the president of {x} {when}?",
            "Who served as president of {x} {when}?",
            "Who headed {x} as president {when}?",
            "Which person was president of {x} {when}?",
            "{when}, who was the president of {x}?",
        ),
    ),
    RelationSpec(
        "R017",
        "head coach",
        "TEAM",
        "PERSON",
        True,
        (
            "{t} was head coach of {x} from {since} until {until}.",
            "From {since} until {until}, {x} were coached by {t}.",
            "{x} had {t} as head coach from {since} until {until}.",
        ),
        (
            "Who was the head coach of {x} {when}?",
            "Who coached {x} {when}?",
            "Who trained the team {x} {when}?",
            "Which person was head coach of {x} {when}?",
            "{when}, who was coaching {x}?",
        ),
    ),
)

BY_ID: dict[str, RelationSpec] = {relation.id: relation for relation in RELATIONS}
