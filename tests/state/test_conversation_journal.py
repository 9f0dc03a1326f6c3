"""The lines of a journal, and what they say after a crash at any byte."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from strategies import JSON_OBJECTS

from realtime_trio._state.conversation.journal import (
    HEADER,
    Gone,
    Journal,
    JournalLine,
    Order,
    Put,
    read_journal,
    write_line,
)
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError

IDS = st.sampled_from(["a", "b", "c", "d"])
LINES: st.SearchStrategy[JournalLine] = st.builds(
    Put, IDS, st.none() | IDS, JSON_OBJECTS
) | st.builds(Gone, IDS)


def written(*lines: JournalLine) -> bytes:
    return HEADER + b"".join(map(write_line, lines))


def told(*lines: JournalLine) -> Journal:
    journal = Journal()
    for line in lines:
        journal.take(line)
    return journal


def put(item_id: str, after: str | None, text: str = "") -> Put:
    return Put(item_id, after, {"id": item_id, "text": text})


def ids(journal: Journal) -> list[object]:
    return [item["id"] for item in journal.items]


def test_a_journal_is_lines_that_anybody_can_read() -> None:
    assert written(put("a", None, "hi"), Gone("a")) == (
        b'{"version":1,"holds":"conversation"}\n'
        b'{"id":"a","after":null,"item":{"id":"a","text":"hi"}}\n'
        b'{"id":"a","item":null}\n'
    )


def test_audio_is_written_as_base64() -> None:
    audio = AudioData(b"\0\1")
    line = write_line(Put("a", None, {"content": [{"audio": audio}]}))
    assert b'{"content":[{"audio":"AAE="}]}' in line


def test_items_stand_where_the_last_line_about_them_has_put_them() -> None:
    journal = told(put("a", None), put("b", "a"), put("c", "b"))
    assert ids(journal) == ["a", "b", "c"]
    journal.take(put("d", "a"))
    journal.take(put("b", None, "again"))
    assert ids(journal) == ["b", "a", "d", "c"]
    assert journal.items[0] == {"id": "b", "text": "again"}
    journal.take(Gone("d"))
    journal.take(Gone("x"))
    assert ids(journal) == ["b", "a", "c"]
    assert journal.lines == 7
    assert len(journal._items) == 3  # what is gone is not kept


def test_an_item_behind_one_that_is_not_there_is_the_last() -> None:
    assert ids(told(put("a", None), put("b", None), put("c", "x"))) == ["b", "a", "c"]
    order = Order()
    order.put("a", "a")
    assert list(order) == ["a"]
    assert len(order) == 1
    assert "a" in order
    assert "b" not in order


@given(st.lists(LINES, max_size=12))
def test_what_is_written_is_read_back(lines: list[JournalLine]) -> None:
    data = written(*lines)
    journal, size = read_journal(data, "it")
    assert size == len(data)
    assert journal.items == told(*lines).items
    assert list(journal.order) == list(told(*lines).order)
    assert journal.lines == len(lines)


@given(st.lists(LINES, max_size=12))
def test_in_short_it_says_the_same(lines: list[JournalLine]) -> None:
    journal = told(*lines)
    short = told(*journal.in_short())
    assert short.items == journal.items
    assert list(short.order) == list(journal.order)
    assert short.lines == len(journal.items)


def test_a_journal_that_is_cut_off_at_any_byte_loses_the_line_that_was_cut() -> None:
    lines: list[JournalLine] = [
        put("a", None, "one"),
        put("b", "a", "zwölf"),
        Gone("a"),
        put("c", "b", "\u2028"),
    ]
    data = written(*lines)
    ends = [0, *(end + 1 for end, byte in enumerate(data) if byte == 10)]
    for length in range(len(data) + 1):
        journal, size = read_journal(data[:length], "it")
        whole = max(end for end in ends if end <= length)
        assert size == whole
        assert journal.items == told(*lines[: max(0, ends.index(whole) - 1)]).items


@given(st.lists(LINES, max_size=6), st.data())
def test_whatever_it_holds_it_can_be_cut_off_anywhere(
    lines: list[JournalLine], data: st.DataObject
) -> None:
    whole = written(*lines)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    journal, size = read_journal(cut, "it")
    assert journal.items == told(*lines[: journal.lines]).items
    assert size == (len(written(*lines[: journal.lines])) if len(cut) >= len(HEADER) else 0)


def test_what_a_broken_disk_has_left_at_the_end_is_dropped() -> None:
    data = written(put("a", None))
    journal, size = read_journal(data + b"\0" * 20 + b"\n\0\0\n\0", "it")
    assert ids(journal) == ["a"]
    assert size == len(data)


@pytest.mark.parametrize(
    "line",
    [
        b"\0\n",
        b"{}\n",
        b"7\n",
        b'{"id":7,"item":null}\n',
        b'{"id":"a","after":7,"item":{}}\n',
        b'{"id":"a","item":{}}\n',
        b'{"id":"a","after":null,"item":[]}\n',
    ],
)
def test_damage_in_the_middle_is_said(line: bytes) -> None:
    data = written(put("a", None)) + line + write_line(put("b", "a"))
    with pytest.raises(LocalProtocolError, match="line 3 of it is not about an item"):
        read_journal(data, "it")


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"{}\n",
        b"x",
        b"[]",
        HEADER[:-1] + b"x",
        b'{"version":"1","holds":"conversation"}\n',
    ],
)
def test_a_file_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="it is not the journal of a conversation"):
        read_journal(data, "it")


def test_another_version_is_refused_by_its_number() -> None:
    data = HEADER.replace(b"1", b"2")
    with pytest.raises(LocalProtocolError, match="in version 2; this library reads version 1"):
        read_journal(data, "it")


def test_blanks_and_other_members_do_not_matter() -> None:
    data = (
        b'{ "holds": "conversation", "version": 1, "by": "hand" }\n'
        b'{ "item": { "id": "a" }, "after": null, "id": "a", "note": 1 }\n'
    )
    journal, size = read_journal(data, "it")
    assert ids(journal) == ["a"]
    assert size == len(data)
