"""Writes that share a commit: each caller gets its own result, whatever the others do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.group_commit import GroupCommit
from tests.fakes.virtual_time import on_virtual_time, run, turns

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Item:
    """Something to write; equal keys must not share a group."""

    key: str
    number: int


class PoisonError(Exception):
    """One item's own fault."""


class DownError(Exception):
    """Nobody's fault."""


@dataclass
class Store:
    """Writes groups; can be held up, and fails for poisonous items or altogether."""

    groups: list[list[Item]] = field(default_factory=list)
    written: list[Item] = field(default_factory=list)
    poison: set[int] = field(default_factory=set)
    down: int = 0
    held: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, group: Sequence[Item]) -> list[str]:
        self.groups.append(list(group))
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        else:
            await asyncio.sleep(0.001)
        if self.down:
            self.down -= 1
            raise DownError
        if any(item.number in self.poison for item in group):
            raise PoisonError
        self.written += group
        return [f"wrote {item.key}{item.number}" for item in group]

    def committer(self, most: int = 200) -> GroupCommit[Item, str]:
        return GroupCommit(
            self.write,
            key=lambda item: item.key,
            alone=lambda error: isinstance(error, PoisonError),
            most=most,
        )


@on_virtual_time
async def test_a_lone_write_is_not_kept_waiting() -> None:
    store = Store(held=asyncio.Event())
    write = asyncio.ensure_future(store.committer().submit(Item("a", 1)))
    await turns(2)  # no timer is involved: begun at once
    assert store.groups == [[Item("a", 1)]]
    assert store.held is not None
    store.held.set()
    assert await write == "wrote a1"


@on_virtual_time
async def test_what_comes_during_a_write_shares_the_next_one() -> None:
    store = Store(held=asyncio.Event())
    commit = store.committer()
    first = asyncio.ensure_future(commit.submit(Item("a", 1)))
    await store.begun.wait()
    later = [asyncio.ensure_future(commit.submit(Item(key, 2))) for key in "bcd"]
    await turns()
    assert len(store.groups) == 1
    assert store.held is not None
    store.held.set()
    assert await asyncio.gather(first, *later) == ["wrote a1", "wrote b2", "wrote c2", "wrote d2"]
    assert store.groups[1:] == [[Item("b", 2), Item("c", 2), Item("d", 2)]]


@on_virtual_time
async def test_what_comes_as_a_group_is_answered_goes_into_the_next_one_together() -> None:
    store = Store(held=asyncio.Event())
    commit = store.committer()

    async def one_after_the_other(key: str) -> None:
        for number in range(3):
            await commit.submit(Item(key, number))

    both = [asyncio.ensure_future(one_after_the_other("a"))]
    await store.begun.wait()
    both += [asyncio.ensure_future(one_after_the_other(key)) for key in "bc"]
    await turns()
    assert store.held is not None
    store.held.set()
    await asyncio.gather(*both)
    assert [len(group) for group in store.groups] == [1, 3, 3, 2], "a's second waited for b and c"


@on_virtual_time
async def test_a_writer_that_was_cancelled_keeps_nobody_from_writing() -> None:
    store = Store(held=asyncio.Event())
    commit = store.committer()
    first = asyncio.ensure_future(commit.submit(Item("a", 1)))
    await store.begun.wait()
    for task in asyncio.all_tasks():
        if task.get_name() == "group-commit":
            task.cancel()
    await turns()
    first.cancel()
    assert store.held is not None
    store.held.set()
    assert await commit.submit(Item("b", 2)) == "wrote b2"


@on_virtual_time
async def test_equal_keys_go_one_after_the_other_in_their_order() -> None:
    store = Store()
    commit = store.committer()
    items = [Item("a", 1), Item("b", 1), Item("a", 2), Item("a", 3), Item("b", 2)]
    results = await asyncio.gather(*(commit.submit(item) for item in items))
    assert results == [f"wrote {item.key}{item.number}" for item in items]
    assert store.groups == [
        [Item("a", 1), Item("b", 1)],
        [Item("a", 2), Item("b", 2)],
        [Item("a", 3)],
    ]


@on_virtual_time
async def test_one_items_own_fault_is_that_items_alone() -> None:
    store = Store(poison={2})
    commit = store.committer()
    results = await asyncio.gather(
        *(commit.submit(Item(key, number)) for number, key in enumerate("abcd", start=1)),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["str", "PoisonError", "str", "str"]
    assert [item.number for item in store.written] == [1, 3, 4]
    assert [len(group) for group in store.groups] == [4, 1, 1, 1, 1]


@on_virtual_time
async def test_a_lone_item_with_a_fault_is_not_written_twice() -> None:
    store = Store(poison={1})
    with pytest.raises(PoisonError):
        await store.committer().submit(Item("a", 1))
    assert len(store.groups) == 1


@on_virtual_time
async def test_any_other_error_goes_to_all_and_the_next_group_is_written() -> None:
    store = Store(down=1)
    commit = store.committer()
    results = await asyncio.gather(
        *(commit.submit(Item(key, 1)) for key in "abc"), return_exceptions=True
    )
    assert [type(result) for result in results] == [DownError] * 3
    assert await commit.submit(Item("d", 1)) == "wrote d1"


@on_virtual_time
async def test_while_faulty_items_are_written_one_by_one_no_error_is_passed_to_the_others() -> None:
    store = Store(poison={1})
    commit = store.committer()
    writes = [asyncio.ensure_future(commit.submit(Item(key, n))) for n, key in enumerate("abc")]
    await store.begun.wait()
    during = asyncio.ensure_future(commit.submit(Item("d", 9)))
    results = await asyncio.gather(*writes, during, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["str", "PoisonError", "str", "str"]


@pytest.mark.parametrize("while_written", [True, False])
@on_virtual_time
async def test_one_caller_that_goes_away_does_not_disturb_the_others(
    while_written: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    store = Store(held=asyncio.Event())
    commit = store.committer()
    blocker = asyncio.ensure_future(commit.submit(Item("x", 0)))
    await store.begun.wait()
    writes = [asyncio.ensure_future(commit.submit(Item(key, 1))) for key in "abc"]
    await turns()
    leaver = blocker if while_written else writes[1]
    leaver.cancel()
    await turns()
    assert store.held is not None
    store.held.set()
    results = await asyncio.gather(blocker, *writes, return_exceptions=True)
    expected = ["wrote x0", "wrote a1", "wrote b1", "wrote c1"]
    gone = 0 if while_written else 2
    assert [r for r in results if isinstance(r, str)] == expected[:gone] + expected[gone + 1 :]
    assert isinstance(results[gone], asyncio.CancelledError)
    assert await commit.submit(Item("d", 1)) == "wrote d1"


@on_virtual_time
async def test_everybody_may_go_away_and_it_still_works() -> None:
    store = Store(poison={1}, held=asyncio.Event())
    commit = store.committer()
    writes = [asyncio.ensure_future(commit.submit(Item(key, n))) for n, key in enumerate("abc")]
    await store.begun.wait()
    for write in writes:
        write.cancel()
    await turns()
    assert store.held is not None
    store.held.set()
    assert await commit.submit(Item("d", 9)) == "wrote d9"
    assert all(write.cancelled() for write in writes)


@on_virtual_time
async def test_a_group_is_never_larger_than_it_may_be() -> None:
    store = Store()
    commit = store.committer(most=3)
    await asyncio.gather(*(commit.submit(Item(str(number), number)) for number in range(10)))
    assert [len(group) for group in store.groups] == [3, 3, 3, 1]
    assert [item.number for item in store.written] == list(range(10))


def check_result(
    store: Store,
    item: Item,
    result: object,
    poisonous: bool,  # noqa: FBT001 - a fact about the item
    impatient: bool,  # noqa: FBT001 - as above
) -> None:
    match result:
        case str():
            assert result == f"wrote {item.key}{item.number}"
            assert not poisonous
            assert store.written.count(item) == 1
        case PoisonError():
            assert poisonous
        case DownError():
            assert item not in store.written
        case _:
            assert isinstance(result, TimeoutError)
            assert impatient
            assert store.written.count(item) <= 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([0.0, 0.0005, 0.001, 0.005]),
            st.booleans(),
            st.integers(0, 9),
        ),
        max_size=25,
    ),
    st.integers(0, 2),
    st.integers(1, 5),
)
def test_no_item_is_lost_or_doubled(
    plan: list[tuple[str, float, bool, int]], down: int, most: int
) -> None:
    """Items come at any time, some are poisonous, some callers leave, and the store fails."""

    async def live() -> None:
        store = Store(down=down, poison={n for n, step in enumerate(plan) if step[2]})
        commit = store.committer(most)

        async def submit(number: int, key: str, patience: int) -> str:
            item = Item(key, number)
            if patience == 0:
                return await asyncio.wait_for(commit.submit(item), 0.0007)
            return await commit.submit(item)

        tasks = []
        for number, (key, pause, _, patience) in enumerate(plan):
            tasks.append(asyncio.ensure_future(submit(number, key, patience)))
            await asyncio.sleep(pause)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1)

        for number, result in enumerate(results):
            key, _, poisonous, patience = plan[number]
            check_result(store, Item(key, number), result, poisonous, patience == 0)
        assert sum(isinstance(result, DownError) for result in results) <= down * most
        for group in store.groups:
            assert len(group) <= most
            assert len({item.key for item in group}) == len(group)
        for key in "abc":
            numbers = [item.number for item in store.written if item.key == key]
            assert numbers == sorted(numbers)

    run(live())
