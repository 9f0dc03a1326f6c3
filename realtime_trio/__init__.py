"""The OpenAI Realtime API for trio applications.

`open_session` opens a session, `open_connection` the bare wire.  Here are the names of everyday
programs.  All others have one place each, and asking here for one of them says where it is:

- `realtime_trio.events`: every wire event, and every object inside one
- `realtime_trio.audio`: audio data, formats, resampling, WAV files
- `realtime_trio.tools`: what `tool` makes, and the errors of arguments and results
- `realtime_trio.playback`: what of the model's speech was heard
- `realtime_trio.money`: what it costs, and how much may be spent
- `realtime_trio.connection`, `realtime_trio.recording`: what is below a session, and what is kept
- `realtime_trio.testing`: what tests need
- `realtime_trio.simulator`: the server to develop against
"""

# Under a private name: what completion offers here should be the front door and nothing else.
import typing as _typing

from realtime_trio import _elsewhere as _elsewhere

# What type checkers read.  At run time a name is loaded when somebody asks for it: `_elsewhere`
# says why and how.
if _typing.TYPE_CHECKING:
    from realtime_trio import audio as audio, events as events, tools as tools
    from realtime_trio._protocol.dialects import Dialect as Dialect
    from realtime_trio._protocol.endpoint import (
        ApiKey as ApiKey,
        Endpoint as Endpoint,
        azure as azure,
    )
    from realtime_trio._runtime.hub import EventStream as EventStream
    from realtime_trio._session.ids import generate_id as generate_id
    from realtime_trio._session.opening import (
        SessionOptions as SessionOptions,
        open_session as open_session,
    )
    from realtime_trio._session.responses import Answer as Answer, LiveResponse as LiveResponse
    from realtime_trio._session.tool_context import ToolContext as ToolContext
    from realtime_trio._session.transcription import (
        Transcriber as Transcriber,
        TranscriptionOptions as TranscriptionOptions,
        TranscriptionSettings as TranscriptionSettings,
        open_transcription_session as open_transcription_session,
    )
    from realtime_trio._session.translation import (
        TranslationSettings as TranslationSettings,
        Translator as Translator,
        open_translation_session as open_translation_session,
    )
    from realtime_trio._session.voice import Session as Session
    from realtime_trio._state.captions import Caption as Caption
    from realtime_trio._state.conversation.item import (
        ConversationItem as ConversationItem,
        TranscriptSegment as TranscriptSegment,
    )
    from realtime_trio._state.conversation.reducer import Conversation as Conversation
    from realtime_trio._state.conversation.restoring import Omission as Omission
    from realtime_trio._state.costs import Usage as Usage
    from realtime_trio._state.utility_events import (
        ArgumentsDelta as ArgumentsDelta,
        AudioDelta as AudioDelta,
        Delta as Delta,
        DeltaDropped as DeltaDropped,
        InputTranscriptDelta as InputTranscriptDelta,
        InputTranscriptSegment as InputTranscriptSegment,
        Interrupted as Interrupted,
        ItemAppended as ItemAppended,
        ItemCompleted as ItemCompleted,
        ItemDeleted as ItemDeleted,
        ItemEvent as ItemEvent,
        ItemTruncated as ItemTruncated,
        ItemUpdated as ItemUpdated,
        McpCallFinished as McpCallFinished,
        McpCallStarted as McpCallStarted,
        McpToolsListed as McpToolsListed,
        McpToolsUnavailable as McpToolsUnavailable,
        TextDelta as TextDelta,
        ToolApprovalRequested as ToolApprovalRequested,
        ToolCallFinished as ToolCallFinished,
        ToolCallProgress as ToolCallProgress,
        ToolCallRequested as ToolCallRequested,
        ToolCallStarted as ToolCallStarted,
        ToolOutcome as ToolOutcome,
        TranscriptDelta as TranscriptDelta,
        UtilityEvent as UtilityEvent,
    )
    from realtime_trio._transport.contract import Close as Close, Transport as Transport
    from realtime_trio._version import __version__ as __version__
    from realtime_trio.connection import (
        Connection as Connection,
        ConnectOptions as ConnectOptions,
        ExposedKeyWarning as ExposedKeyWarning,
        open_connection as open_connection,
    )
    from realtime_trio.errors import (
        ConnectionFailed as ConnectionFailed,
        ConnectionLost as ConnectionLost,
        InternalError as InternalError,
        LocalProtocolError as LocalProtocolError,
        ProtocolError as ProtocolError,
        RealtimeError as RealtimeError,
        RemoteProtocolError as RemoteProtocolError,
        RequestTimeout as RequestTimeout,
        ServerError as ServerError,
        SessionClosed as SessionClosed,
        SlowConsumer as SlowConsumer,
        ToolDefinitionError as ToolDefinitionError,
        ToolError as ToolError,
    )
    from realtime_trio.events import (
        UNSET as UNSET,
        AssistantMessage as AssistantMessage,
        AudioFormat as AudioFormat,
        ClientEvent as ClientEvent,
        ConversationItemCreate as ConversationItemCreate,
        ErrorEvent as ErrorEvent,
        Event as Event,
        FunctionCall as FunctionCall,
        FunctionCallOutput as FunctionCallOutput,
        FunctionTool as FunctionTool,
        InputAudio as InputAudio,
        InputAudioBufferSpeechStarted as InputAudioBufferSpeechStarted,
        InputAudioBufferSpeechStopped as InputAudioBufferSpeechStopped,
        InputImage as InputImage,
        InputText as InputText,
        Item as Item,
        McpTool as McpTool,
        NoiseReduction as NoiseReduction,
        OutputAudio as OutputAudio,
        OutputText as OutputText,
        ResponseConfig as ResponseConfig,
        ResponseCreate as ResponseCreate,
        ResponseCreated as ResponseCreated,
        ResponseDone as ResponseDone,
        ResponseSettings as ResponseSettings,
        SemanticVad as SemanticVad,
        ServerEvent as ServerEvent,
        ServerVad as ServerVad,
        SessionConfig as SessionConfig,
        SessionSettings as SessionSettings,
        SystemMessage as SystemMessage,
        ToolChoiceFunction as ToolChoiceFunction,
        Transcription as Transcription,
        UnknownEvent as UnknownEvent,
        UserMessage as UserMessage,
    )
    from realtime_trio.recording import (
        open_recording as open_recording,
        read_recording as read_recording,
    )
    from realtime_trio.tools import ToolOutput as ToolOutput, tool as tool
    from realtime_trio.tools.constraints import Constraints as Constraints
else:
    _names = _elsewhere.names_in(
        __name__,
        {
            "": "audio connection errors events recording tools",
            "_protocol.dialects": "Dialect",
            "_protocol.endpoint": "ApiKey Endpoint azure",
            "_runtime.hub": "EventStream",
            "_session.ids": "generate_id",
            "_session.opening": "SessionOptions open_session",
            "_session.responses": "Answer LiveResponse",
            "_session.tool_context": "ToolContext",
            "_session.transcription": (
                "Transcriber TranscriptionOptions TranscriptionSettings open_transcription_session"
            ),
            "_session.translation": "TranslationSettings Translator open_translation_session",
            "_session.voice": "Session",
            "_state.captions": "Caption",
            "_state.conversation.restoring": "Omission",
            "_state.conversation.item": "ConversationItem TranscriptSegment",
            "_state.conversation.reducer": "Conversation",
            "_state.costs": "Usage",
            "_state.utility_events": (
                "ArgumentsDelta AudioDelta Delta DeltaDropped InputTranscriptDelta "
                "InputTranscriptSegment Interrupted ItemAppended ItemCompleted ItemDeleted "
                "ItemEvent ItemTruncated ItemUpdated McpCallFinished McpCallStarted "
                "McpToolsListed McpToolsUnavailable TextDelta ToolApprovalRequested "
                "ToolCallFinished ToolCallProgress ToolCallRequested ToolCallStarted ToolOutcome "
                "TranscriptDelta UtilityEvent"
            ),
            "_transport.contract": "Close Transport",
            "_version": "__version__",
            "connection": "Connection ConnectOptions ExposedKeyWarning open_connection",
            "errors": (
                "ConnectionFailed ConnectionLost InternalError LocalProtocolError ProtocolError "
                "RealtimeError RemoteProtocolError RequestTimeout ServerError SessionClosed "
                "SlowConsumer ToolDefinitionError ToolError"
            ),
            "events": (
                "UNSET AssistantMessage AudioFormat ClientEvent ConversationItemCreate ErrorEvent "
                "Event FunctionCall FunctionCallOutput FunctionTool InputAudio "
                "InputAudioBufferSpeechStarted InputAudioBufferSpeechStopped InputImage InputText "
                "Item McpTool NoiseReduction OutputAudio OutputText ResponseConfig ResponseCreate "
                "ResponseCreated ResponseDone ResponseSettings SemanticVad ServerEvent ServerVad "
                "SessionConfig SessionSettings SystemMessage ToolChoiceFunction Transcription "
                "UnknownEvent UserMessage"
            ),
            "recording": "open_recording read_recording",
            "tools": "ToolOutput tool",
            "tools.constraints": "Constraints",
        },
    )
    __all__ = [name for name in _names if not name.startswith("_")]

    def __dir__():
        return sorted({*globals(), *_names})

    def _sentences():
        packages = map(__getattr__, ("events", "tools", "audio"))
        return {
            name: f"{__name__} has no {name}: import it from {home}"
            for name, home in _elsewhere.homes(*packages).items()
        }

    __getattr__ = _elsewhere.getattr_of(__name__, _names, _sentences)
