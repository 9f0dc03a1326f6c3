"""The items of a conversation, in order, and how little it takes to put one in and to look."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from effort import bytes_allocated, lines_run
from hypothesis import given, strategies as st

from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.order import ItemOrder


def item(item_id: str, after: str | None = None, *, is_anchored: bool = False) -> ConversationItem:
    return ConversationItem(
        id=item_id, type="message", previous_item_id=after, is_anchored=is_anchored
    )


def order_of(*item_ids: str) -> ItemOrder:
    order = ItemOrder()
    for item_id in item_ids:
        order.show(item(item_id))
    return order


def ids(items: Sequence[ConversationItem]) -> str:
    return "".join(each.id for each in items)


# --- a look ---------------------------------------------------------------------------------------


def test_a_look_reads_like_a_tuple() -> None:
    items = order_of(*"abc").items
    assert (len(items), ids(items), ids(items[1:]), items[0].id, items[-1].id) == (
        *(3, "abc", "bc"),
        *("a", "c"),
    )
    assert ids(tuple(reversed(items))) == "cba"
    assert items[1] in items
    assert items.index(items[2]) == 2
    first, *rest = items
    assert (first.id, ids(rest)) == ("a", "bc")
    assert repr(items) == repr(tuple(items))


def test_a_look_equals_a_tuple_and_another_look_at_the_same_items() -> None:
    order = order_of(*"ab")
    items = order.items
    assert items == tuple(items)
    assert tuple(items) == items
    assert hash(items) == hash(tuple(items))
    assert items is order.items
    order.show(item("c"))
    assert items != order.items
    assert items == order.items[:2]
    assert items != list(items)
    assert ItemOrder().items == ()


@pytest.mark.parametrize("index", [2, -3, 1000])
def test_what_came_later_is_not_there(index: int) -> None:
    order = order_of(*"ab")
    items = order.items
    order.show(item("c"))
    with pytest.raises(IndexError, match=f"there are 2 items, and none at {index}"):
        items[index]


def test_a_look_stays_as_it_is_whatever_happens() -> None:
    order = order_of(*"abc")
    looks = [order.items]
    order.show(item("d"))
    looks.append(order.items)
    order.remove(order.items[1])
    looks.append(order.items)
    order.show(item("e", "a"))
    looks.append(order.items)
    order.show(item("f", "root"))
    assert [ids(each) for each in (*looks, order.items)] == [
        *("abc", "abcd", "acd", "aecd"),
        "faecd",
    ]


def test_items_may_come_while_somebody_goes_through_them() -> None:
    order = order_of(*"ab")
    seen = []
    for each in order.items:
        seen.append(each.id)
        order.show(item(each.id.upper(), "root"))
        order.remove(each)
    assert (seen, ids(order.items)) == (["a", "b"], "BA")


# --- places ---------------------------------------------------------------------------------------


def test_an_item_stands_behind_the_one_that_is_named() -> None:
    order = order_of(*"abcdefghijklmno")
    order.show(item("X", "b"))
    order.show(item("Y", "n"))
    order.show(item("Z", "nobody"))
    assert ids(order.items) == "abXcdefghijklmnYoZ"


def test_what_the_server_does_not_have_keeps_its_place_before_what_comes() -> None:
    order = order_of(*"abcd")
    for each in order.items[1:3]:
        each._is_left_behind = True
    order.show(item("X", "a"))
    assert ids(order.items) == "abcXd"
    order.show(item("Y", "d"))
    order.items[-1]._is_left_behind = True
    order.show(item("Z", "d"))
    assert ids(order.items) == "abcXdYZ"


def test_a_word_that_comes_late_moves_an_item_once() -> None:
    order = order_of(*"abc")
    last = order.items[-1]
    assert order.place(last, "a", follows=False)
    assert not order.place(last, "root", follows=False)
    assert ids(order.items) == "acb"


def test_an_item_can_move_to_the_end_and_to_the_front() -> None:
    order = order_of(*"abc")
    first, second, _ = order.items
    assert order.place(first, "c", follows=False)
    assert order.place(second, "root", follows=False)
    assert ids(order.items) == "bca"


def test_a_word_that_changes_nothing_is_no_change_of_the_order() -> None:
    order = order_of("a")
    order.show(item("b", "a"))
    before = order.items
    assert not order.place(before[1], "a", follows=False)
    assert order.items is before


def test_a_server_that_names_none_for_an_answer_puts_all_at_the_end() -> None:
    order = order_of(*"abc")
    assert not order.place(order.items[-1], None, follows=True)
    order.show(item("d", is_anchored=True))
    assert ids(order.items) == "abcd"


def test_an_answer_that_is_all_there_is_says_nothing_about_the_server() -> None:
    order = ItemOrder()
    greeting = item("a")
    assert not order.place(greeting, None, follows=True)
    order.show(greeting)
    order.show(item("b", is_anchored=True))
    assert ids(order.items) == "ba"


def test_an_item_without_one_before_it_is_the_first_where_the_server_names_them() -> None:
    order = order_of(*"ab")
    order.show(item("c", is_anchored=True))
    assert ids(order.items) == "cab"


@given(
    st.lists(st.tuples(st.sampled_from(["show", "put", "end", "drop", "look"]), st.integers(0, 9)))
)
def test_any_changes_are_those_of_a_list(steps: list[tuple[str, int]]) -> None:
    order, model, looks = ItemOrder(), list[ConversationItem](), []
    for number, (step, where) in enumerate(steps):
        match step:
            case "show":
                new = item(str(number))
                order.show(new)
                model.append(new)
            case "put":
                after = model[where % len(model)] if model else None
                new = item(str(number), None if after is None else after.id)
                order.show(new)
                model.insert(0 if after is None else model.index(after) + 1, new)
            case "end" if model:
                order.remove(model.pop())
            case "drop" if model:
                order.remove(model.pop(where % len(model)))
            case _:
                looks.append((order.items, tuple(model)))
    assert order.items == tuple(model)
    assert all(look == then for look, then in looks)


# --- what it takes --------------------------------------------------------------------------------


def grown(size: int) -> ItemOrder:
    order = ItemOrder()
    for number in range(size):
        order.show(item(str(number), str(number - 1) if number else None))
    assert len(order.items) == size
    return order


def test_appending_and_looking_take_the_same_however_long_it_is() -> None:
    def turn(order: ItemOrder) -> None:
        size = len(order.items)
        new = item(str(size), str(size - 1))
        order.show(new)
        order.place(new, str(size - 1), follows=True)
        order.show(item("other", "nobody"))
        assert order.items[-1].id == "other"

    short, long = grown(10), grown(5000)
    assert lines_run(lambda: turn(short)) == lines_run(lambda: turn(long))


def test_a_look_is_not_a_copy() -> None:
    def look_again_and_again(order: ItemOrder) -> None:
        for number in range(10):
            order.show(item(f"new {number}"))
            assert order.items[-1].id == f"new {number}"

    order = grown(5000)
    assert bytes_allocated(lambda: look_again_and_again(order)) < 5000 * 8


def test_a_listing_of_tools_that_names_nothing_before_it_stands_at_the_end() -> None:
    order = order_of(*"ab")
    listing = ConversationItem(id="l", type="mcp_list_tools")
    order.place(listing, None, follows=True)
    order.show(listing)
    assert ids(order.items) == "abl"
    # It is no sign that this server never says what is before an item.
    first = item("f")
    order.place(first, None, follows=False)
    order.show(first)
    assert ids(order.items) == "fabl"


def test_an_answer_that_is_the_first_for_its_server_stands_behind_what_that_does_not_have() -> None:
    order = order_of(*"ab")
    for each in order.items:
        each._is_left_behind = True
    answer = item("c")
    order.place(answer, None, follows=True)
    order.show(answer)
    assert ids(order.items) == "abc"
    first = item("f")
    order.place(first, None, follows=False)
    order.show(first)
    assert ids(order.items) == "fabc"
