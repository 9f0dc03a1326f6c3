"""A voice server of your own.

The simulator speaks the Realtime protocol, and a language model on your machine does the thinking.

    pip install '.[llm]'    # in a clone
    ollama run llama3.2
    python examples/local_llm.py --llm http://127.0.0.1:11434/v1 --model llama3.2

In place of ollama, whatever has an OpenAI-compatible chat-completions endpoint will do: llama.cpp,
vLLM, LM Studio.
Then any Realtime client can talk to it, function calls included:

    python examples/text_chat.py ws://127.0.0.1:8765/v1/realtime

A model elsewhere may want a key: put it into LLM_API_KEY.
"""

import argparse
import os
from functools import partial

import trio

from realtime_trio.simulator import Cast, serve_simulator
from realtime_trio.simulator.chat_completions import ChatCompletionsAgent


async def main(  # noqa: ASYNC114 - only its test waits for its start
    llm: str,
    model: str,
    port: int = 8765,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; every response of every client is answered by the model."""
    agent = ChatCompletionsAgent(llm, model=model, api_key=os.environ.get("LLM_API_KEY"))
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(partial(serve_simulator, cast=Cast(agent), port=port))
        print(f"{model} listens at {url} until Ctrl-C")
        task_status.started(url)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Serve the Realtime API in front of a language model."
    )
    parser.add_argument(
        "--llm",
        required=True,
        metavar="URL",
        help="chat-completions endpoint, e.g. http://127.0.0.1:11434/v1",
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="what the endpoint calls the model"
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="where to listen (default: %(default)s)"
    )
    arguments = parser.parse_args()
    trio.run(main, arguments.llm, arguments.model, arguments.port)
