"""Texts in Spanish and English: questions with their answers, in as many ways as they can be put."""

from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from migrations.seeds._distributions import one_of

POOL: Final = 2_048
"""How many pairs of question and answer there are in a language."""

LONGEST: Final = 24
"""How many pairs follow one another at most."""

FIRST_NAMES: Final = (
    "Ana", "Luis", "María", "Carlos", "Sofía", "Jorge", "Lucía", "Miguel", "Valentina", "Diego", "Camila", "Andrés",
    "Emma", "James", "Olivia", "William", "Grace", "Henry", "Fernanda", "Ricardo", "Paula", "Héctor", "Elena", "Oscar",
)  # fmt: skip
LAST_NAMES: Final = (
    "García", "Hernández", "López", "Martínez", "González", "Pérez", "Rodríguez", "Sánchez", "Ramírez", "Cruz",
    "Flores", "Gómez", "Smith", "Johnson", "Brown", "Miller", "Davis", "Wilson", "Torres", "Rivera", "Castillo",
)  # fmt: skip
TOPICS: Final = {
    "es": (
        "el presupuesto del mes", "la migración de la base de datos", "un plan de ejercicio", "la receta médica",
        "el informe de ventas", "una consulta de SQL", "los gastos de viaje", "el diseño de la página",
        "la declaración de impuestos", "un horario de estudio", "el contrato de renta", "la dieta de la semana",
    ),
    "en": (
        "the monthly budget", "a database migration", "a training plan", "the prescription",
        "the sales report", "an SQL query", "travel expenses", "the page layout",
        "the tax return", "a study schedule", "the rental contract", "this week's diet",
    ),
}  # fmt: skip
_ASKED: Final = {
    "es": (
        "¿Cómo puedo mejorar {}?", "Ayúdame con {}, por favor.", "¿Qué opinas de {}?", "Necesito un resumen de {}.",
        "Hay un error en {} y no lo encuentro.", "¿Por dónde empiezo con {}?", "Explícame {} paso a paso.",
    ),
    "en": (
        "How can I improve {}?", "Please help me with {}.", "What do you think of {}?", "I need a summary of {}.",
        "There is a mistake in {} and I cannot find it.", "Where do I start with {}?", "Explain {} step by step.",
    ),
}  # fmt: skip
_SAID: Final = {
    "es": (
        "Empieza por ordenar los datos.", "Lo más importante es fijar una meta.", "Conviene revisar los números.",
        "Te dejo tres opciones.", "La primera opción es la más sencilla.", "Después compara los resultados.",
        "Si algo no cuadra, avísame.", "Puedes guardar este paso para después.", "No hace falta cambiarlo todo hoy.",
    ),
    "en": (
        "Begin by sorting the data.", "The most important thing is to set a goal.", "It is worth checking the figures.",
        "Here are three options.", "The first option is the simplest.", "Then compare the results.",
        "Tell me if something does not add up.", "You can keep this step for later.", "Not all must change today.",
    ),
}  # fmt: skip
_ABOUT: Final = {"es": "Sobre {}: ", "en": "About {}: "}


@dataclass(frozen=True)
class Dialogue:
    """Questions and answers in one language.

    Attributes:
        questions: what users say.
        answers: what agents say to each.
        tokens_in: tokens of each question.
        tokens_out: tokens of each answer.
        tokens_before: tokens of all pairs before each, and of all at the end.
        topics: what each is about.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    tokens_in: tuple[int, ...]
    tokens_out: tuple[int, ...]
    tokens_before: tuple[int, ...]
    topics: tuple[str, ...]


def dialogue(roll: Random, language: str) -> Dialogue:
    """Make questions and answers; two of them are seldom the same."""
    topics = tuple(one_of(roll, TOPICS[language]) for _ in range(POOL))
    questions = tuple(f"{one_of(roll, _ASKED[language]).format(topic)}" for topic in topics)
    answers = tuple(
        _ABOUT[language].format(topic) + " ".join(roll.sample(_SAID[language], k=roll.randint(2, 6)))
        for topic in topics
    )
    # About four letters make a token, and the model is told what was said before.
    tokens_in = tuple(len(question) // 4 + 40 + roll.randrange(400) for question in questions)
    tokens_out = tuple(len(answer) // 4 + 1 for answer in answers)
    both = (one + other for one, other in zip(tokens_in, tokens_out, strict=True))
    return Dialogue(questions, answers, tokens_in, tokens_out, tuple(accumulate(both, initial=0)), topics)
