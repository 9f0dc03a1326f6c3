"""Sound devices: a microphone as a stream of chunks, a loudspeaker that plays a `Playback`.

The extra `devices` brings sounddevice, which drives them by PortAudio; without it a `Backend` of
your own does, or `SimulatedDevices`.
"""

from realtime_trio.devices.activity import (
    Activity as Activity,
    EnergyModel as EnergyModel,
    SpeechModel as SpeechModel,
    VoiceActivity as VoiceActivity,
)
from realtime_trio.devices.backend import (
    Backend as Backend,
    Device as Device,
    DeviceStream as DeviceStream,
)
from realtime_trio.devices.echo import EchoControl as EchoControl, EchoGate as EchoGate
from realtime_trio.devices.errors import DeviceError as DeviceError, DeviceLost as DeviceLost
from realtime_trio.devices.level import level_db as level_db
from realtime_trio.devices.livekit import LiveKitEchoControl as LiveKitEchoControl
from realtime_trio.devices.microphone import (
    Microphone as Microphone,
    open_microphone as open_microphone,
)
from realtime_trio.devices.portaudio import PortAudio as PortAudio
from realtime_trio.devices.preroll import PreRoll as PreRoll
from realtime_trio.devices.silero import (
    SileroModel as SileroModel,
    speech_model as speech_model,
)
from realtime_trio.devices.simulated import SimulatedDevices as SimulatedDevices
from realtime_trio.devices.speaker import Speaker as Speaker, open_speaker as open_speaker
