"""Lists of what was lost."""

from __future__ import annotations

import pytest

from realtime_trio._state.conversation.restoring import Omission
from realtime_trio._state.losses import Loss, SessionRenewed
from realtime_trio.events import SessionConfig, SessionUpdate

OMISSION = Omission(index=0, item_id="item", reason="nobody knows")
UPDATE = SessionUpdate(session=SessionConfig())


@pytest.mark.parametrize(
    "loss",
    [
        Loss(omissions=(OMISSION,)),
        Loss(audio_ms=1),
        Loss(transcripts=("i",)),
        Loss(responses=("r",)),
        Loss(calls=("c",)),
        Loss(requests=(UPDATE,)),
    ],
)
def test_a_loss_is_true_if_there_is_anything_in_it(loss: Loss) -> None:
    assert loss
    assert not Loss()
    assert loss + Loss() == Loss() + loss == loss


def test_losses_add_up() -> None:
    one = Loss(omissions=(OMISSION,), audio_ms=1, responses=("r",), calls=("c",))
    other = Loss(audio_ms=2, responses=("s",), calls=("d",), requests=(UPDATE,))
    assert one + other == Loss(
        omissions=(OMISSION,),
        audio_ms=3,
        responses=("r", "s"),
        calls=("c", "d"),
        requests=(UPDATE,),
    )
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]


def test_what_a_renewal_omits_is_at_hand() -> None:
    renewed = SessionRenewed(lost=Loss(omissions=(OMISSION,)), gap_ms=5)
    assert renewed.omissions == (OMISSION,)
