"""A Realtime server to develop and test with: it speaks the protocol, and says what a script says.

`open_simulator_transport` is for tests in memory, `serve_simulator` for any client over a real
WebSocket.  `SimulatedServer` and, for translation, `SimulatedTranslator` are the machines
themselves, without network and clock.
"""

# Under a private name: what completion offers here should be the simulator's names.
import typing as _typing

from realtime_trio import _elsewhere as _elsewhere
from realtime_trio.simulator.replay import ReplayServer as ReplayServer
from realtime_trio.simulator.roles import (
    Agent as Agent,
    Ears as Ears,
    Piece as Piece,
    Say as Say,
    Voice as Voice,
)
from realtime_trio.simulator.script.fault import Fault as Fault
from realtime_trio.simulator.script.script import (
    INSTANT as INSTANT,
    LIFELIKE as LIFELIKE,
    Call as Call,
    Failure as Failure,
    HostedCall as HostedCall,
    McpServer as McpServer,
    Message as Message,
    Output as Output,
    Pacing as Pacing,
    Performance as Performance,
    Predicate as Predicate,
    Reply as Reply,
    Script as Script,
    Turn as Turn,
)
from realtime_trio.simulator.script.script_file import (
    ScriptFile as ScriptFile,
    ScriptFileError as ScriptFileError,
    When as When,
    load_script as load_script,
    parse_script as parse_script,
)
from realtime_trio.simulator.service.lifecycle import sequential_ids as sequential_ids
from realtime_trio.simulator.service.server import SimulatedServer as SimulatedServer
from realtime_trio.simulator.service.translator import SimulatedTranslator as SimulatedTranslator
from realtime_trio.simulator.serving.again import SimulatedService as SimulatedService
from realtime_trio.simulator.serving.attended import Cast as Cast, run_server as run_server
from realtime_trio.simulator.serving.serve import (
    Simulation as Simulation,
    open_simulator_transport as open_simulator_transport,
    serve_simulator as serve_simulator,
)
from realtime_trio.simulator.speech import synthesize_speech as synthesize_speech

# Its patterns take longer to compile than everything else here takes to load, and scripts do
# without it.
if _typing.TYPE_CHECKING:
    from realtime_trio.simulator.offline.agent import OfflineAgent as OfflineAgent
else:
    _names = _elsewhere.names_in(__name__, {"offline.agent": "OfflineAgent"})
    __all__ = [name for name in (*globals(), *_names) if not name.startswith("_")]

    def __dir__():
        return sorted({*globals(), *_names})

    __getattr__ = _elsewhere.getattr_of(__name__, _names, dict)
