"""Titles and other words that people put before a name without making another name of it, in lower case."""

from __future__ import annotations

_WORDS = """
mr mrs ms miss mx dr doctor prof professor sir dame lord lady madam mister herr frau fru monsieur madame signor
signora senor senora don dona saint st father mother sister brother uncle aunt cousin grandma grandpa grandmother
grandfather pastor reverend rev bishop archbishop cardinal pope rabbi imam sheikh king queen prince princess emperor
empress duke duchess count countess baron baroness president chancellor minister premier senator governor mayor
congressman congresswoman representative judge justice attorney captain major colonel general lieutenant sergeant
corporal commander admiral marshal officer inspector detective constable chief chairman chairwoman chairperson chair
director manager secretary treasurer ambassador consul dean rector principal headmaster headmistress teacher coach
trainer nurse chef cook engineer architect ceo cto cfo skipper keeper
"""
FORMS_OF_ADDRESS = frozenset(_WORDS.split())
