"""How people ask for the tail of each relation of YAGO15K.

`{when}` is empty, or a time with a blank before it (" in 1994").
"""

from __future__ import annotations

from collections.abc import Mapping

WORDINGS: Mapping[str, tuple[str, ...]] = {
    "actedIn": ("What did {head} act in{when}?", "Which film had {head} in its cast{when}?"),
    "created": ("What did {head} create{when}?", "Which work is {head} the creator of{when}?"),
    "dealsWith": ("Which country does {head} trade with{when}?", "Who is a trading partner of {head}{when}?"),
    "diedIn": (
        "Where did {head} die{when}?",
        "In which place did {head} die{when}?",
        "What is {head}'s place of death?",
    ),
    "directed": ("Which film did {head} direct{when}?", "What was directed by {head}{when}?"),
    "edited": ("Which film did {head} edit{when}?", "What was {head} the editor of{when}?"),
    "graduatedFrom": (
        "Where did {head} graduate{when}?",
        "Which university did {head} graduate from{when}?",
        "What is the alma mater of {head}?",
    ),
    "happenedIn": ("Where did {head} happen{when}?", "Where did the {head} take place{when}?"),
    "hasCapital": ("What is the capital of {head}{when}?", "Which city is {head}'s capital{when}?"),
    "hasChild": ("Who is a child of {head}?", "What is the name of {head}'s child?"),
    "hasCurrency": ("What is the currency of {head}{when}?", "What money do they use in {head}{when}?"),
    "hasNeighbor": ("Which country borders {head}{when}?", "Who is a neighbour of {head}{when}?"),
    "hasOfficialLanguage": (
        "What is the official language of {head}{when}?",
        "Which language is official in {head}{when}?",
    ),
    "hasWonPrize": ("Which prize did {head} win{when}?", "What award did {head} receive{when}?"),
    "influences": ("Whom did {head} influence{when}?", "Who was influenced by {head}{when}?"),
    "isAffiliatedTo": (
        "What was {head} affiliated to{when}?",
        "Which organization or team was {head} affiliated with{when}?",
    ),
    "isCitizenOf": (
        "Which country is {head} a citizen of{when}?",
        "What is the citizenship of {head}{when}?",
        "What nationality does {head} have{when}?",
    ),
    "isConnectedTo": ("Which airport has flights from {head}{when}?", "What is {head} connected to{when}?"),
    "isInterestedIn": ("What is {head} interested in{when}?", "What does {head} take an interest in{when}?"),
    "isLeaderOf": ("What is {head} the leader of{when}?", "What did {head} lead{when}?"),
    "isLocatedIn": ("Where is {head} located{when}?", "Where can I find {head}?", "In which place is {head}{when}?"),
    "isMarriedTo": (
        "Who was {head} married to{when}?",
        "Who was the spouse of {head}{when}?",
        "Whom did {head} have as husband or wife{when}?",
    ),
    "isPoliticianOf": ("Which country is {head} a politician of{when}?", "Where was {head} in politics{when}?"),
    "livesIn": ("Where does {head} live{when}?", "What is {head}'s place of residence{when}?"),
    "owns": ("What did {head} own{when}?", "Which company or thing belonged to {head}{when}?"),
    "participatedIn": ("What did {head} participate in{when}?", "Which conflict did {head} take part in{when}?"),
    "playsFor": (
        "Which team did {head} play for{when}?",
        "What club was {head} with as a player{when}?",
        "Who did {head} play for{when}?",
    ),
    "wasBornIn": ("Where was {head} born?", "What is {head}'s place of birth?", "In which town was {head} born?"),
    "worksAt": ("Where does {head} work{when}?", "Who is the employer of {head}{when}?"),
    "wroteMusicFor": ("Which film did {head} write the music for{when}?", "What did {head} compose music for{when}?"),
}
