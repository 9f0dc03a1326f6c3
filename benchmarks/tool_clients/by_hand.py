"""What a client of `bench_tools` cannot do without, and nothing else.

That is the least that answers every call and then asks for a response.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

CONFIGURE = json.dumps({"type": "session.update", "session": {"type": "realtime"}})
_TOOLS: dict[str, Callable[..., str]] = {
    "echo": lambda text: text,
    "cpu_ns": lambda: str(time.process_time_ns()),
}


def answers(message: str | bytes) -> Iterator[str]:
    """What is to be sent when this message has come."""
    match json.loads(message):
        case {"type": "response.output_item.done", "item": {"type": "function_call"} as call}:
            output = _TOOLS[call["name"]](**json.loads(call["arguments"]))
            item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
            yield json.dumps({"type": "conversation.item.create", "item": item})
        case {"type": "response.done", "response": {"output": [{"type": "function_call"}, *_]}}:
            yield json.dumps({"type": "response.create"})
