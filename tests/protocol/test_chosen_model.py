"""What to change when there is no such model."""

from __future__ import annotations

import pytest

from realtime_trio._protocol.chosen_model import ChosenModel

CHOSEN = ChosenModel("parrot-1", "the argument model=")
ADVICE = "; the model 'parrot-1' was chosen by the argument model="


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("invalid_model", 'Model "x" is not supported in realtime mode.'),
        ("model_not_found", ""),
        (None, "The model parrot-1 has been deprecated, learn more there."),
        ("gone", "This model was retired on 2027-01-20."),
        ("gone", "The model was shut down."),
        ("gone", "Sorry, the model\n`x` is no longer available."),
    ],
)
def test_a_refusal_of_the_model_names_the_setting(code: str | None, message: str) -> None:
    assert CHOSEN.advice(code, message) == ADVICE


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("invalid_api_key", "Incorrect API key provided."),
        (None, "The model is overloaded."),
        ("session_expired", "This session was shut down."),
    ],
)
def test_any_other_refusal_says_nothing_of_it(code: str | None, message: str) -> None:
    assert CHOSEN.advice(code, message) == ""
